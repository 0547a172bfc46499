import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { text } from 'node:stream/consumers';
import { SYSTEM_BUNDLES } from '../base/system-bundles.ts';
import { errorCode } from '../base/error-code.ts';
import { systemTrust } from '../identity/system-trust.ts';
import type { ControlPlaneOptions } from '../xds/bootstrap/control-plane-options.ts';
import type { ControlPlaneFlags } from './control-plane-flags.ts';
import { readDataplaneResource } from './dataplane-resource.ts';
import { readProxyResource } from './proxy-resource.ts';
import type { ProxyResource } from './proxy-resource.ts';
import { renderTemplate } from './template.ts';
import { tokenDoubts } from './token-doubts.ts';
import { checkedToken } from './token.ts';

/** Reads facts of the machine; tests pass in their own. */
export interface Machine {
  readonly readFile: (path: string) => Promise<string>;
  readonly readInput: () => Promise<string>;
  /** Reads PEM; null where the system has no bundle. */
  readonly systemTrust: () => string | null;
  /** Returns the path of that bundle; empty where there is none. */
  readonly systemCaPath: () => Promise<string>;
  readonly hasIpv6: () => boolean;
}

/**
 * Reads and checks everything that the flags name. Throws the first fault, with a sentence for the
 * operator.
 */
export async function loadControlPlane(flags: ControlPlaneFlags, machine: Machine = thisMachine): Promise<ControlPlaneOptions> {
  const caCert = flags.caCert ?? (await fileOf(flags.caCertFile, 'certificate file', machine));
  const resource = await resourceOf(flags, machine);
  const name = resource?.name ?? flags.name;
  const mesh = resource?.mesh ?? flags.mesh;
  if (name === '')
    throw new Error(
      `${flags.resourceFile ?? '--dataplane'}: has no resource in it; a ${flags.proxyType === 'egress' ? 'ZoneEgress' : 'Dataplane'} is needed, or --name`,
    );
  const token = tokenOf(flags, machine);
  let given: string | null;
  try {
    given = await token();
  } catch (error) {
    throw new Error(`${TOKEN_PREFIX}: ${messageOf(error)}`, { cause: error });
  }
  const owner = {
    mesh: flags.proxyType === 'egress' ? '' : mesh,
    name,
    workload: resource === null ? undefined : resource.workload,
  };
  const doubts = given === null ? [] : tokenDoubts(given, owner, Date.now());
  return {
    url: flags.url,
    ...(caCert === null ? {} : { caCert }),
    systemTrust: caCert === null ? machine.systemTrust() : null,
    skipVerify: flags.skipVerify,
    token,
    ...(flags.token !== null || flags.tokenFile === null ? {} : { tokenPath: flags.tokenFile }),
    name,
    ...(flags.proxyType === 'dataplane' ? { mesh } : {}),
    resource: resource?.json ?? null,
    retryBackoffMs: flags.retryBackoffMs,
    retryMaxMs: flags.retryMaxMs,
    readinessPort: flags.readinessPort,
    drainTimeMs: flags.drainTimeMs,
    ...(flags.workDir === null ? {} : { workDir: flags.workDir }),
    systemCaPath: flags.systemCaPath ?? (await machine.systemCaPath()),
    ipv6Enabled: flags.ipv6 && machine.hasIpv6(),
    maxHeapSizeBytes: flags.maxMemoryBytes,
    delta: flags.delta,
    dynamicMetadata: flags.hostIp === null ? {} : { HOST_IP: flags.hostIp },
    warnings: [...flagWarnings(flags), ...(resource?.warnings ?? []), ...doubts],
  };
}

const TOKEN_PREFIX =
  'dataplane token is invalid, in Kubernetes you must mount a serviceAccount token, in universal you must start your proxy with a generated token.';

async function resourceOf(flags: ControlPlaneFlags, machine: Machine): Promise<ProxyResource | null> {
  const { resource, resourceFile } = flags;
  const file = resourceFile === '-' ? 'standard input' : (resourceFile ?? '--dataplane');
  const template =
    resourceFile === '-' ? await machine.readInput() : ((await fileOf(resourceFile, 'resource', machine)) ?? resource);
  if (template === null) return null;
  let rendered: string;
  try {
    rendered = renderTemplate(template, flags.vars);
  } catch (error) {
    throw new Error(`${file}: ${messageOf(error)}`, { cause: error });
  }
  return flags.proxyType === 'egress' ? readProxyResource(file, rendered) : readDataplaneResource(file, rendered);
}

/** Returns the inline token, else reads the file anew at each call. */
function tokenOf({ token, tokenFile }: ControlPlaneFlags, machine: Machine): () => Promise<string | null> {
  if (token !== null) return () => Promise.resolve(token).then(checkedToken);
  if (tokenFile === null) return () => Promise.resolve(null);
  return async () => {
    const read = await fileOf(tokenFile, 'token file', machine);
    if (read === null || read.trim() === '') throw new Error(`token under file ${tokenFile} is empty`);
    return checkedToken(read);
  };
}

async function fileOf(path: string | null, what: string, machine: Machine): Promise<string | null> {
  if (path === null) return null;
  try {
    return await machine.readFile(path);
  } catch (error) {
    throw new Error(`could not read ${what} ${path}: ${errorCode(error) || messageOf(error)}`, { cause: error });
  }
}

/** Returns the warnings about the flags themselves. */
export function flagWarnings({ skipVerify, url, caCert, caCertFile }: ControlPlaneFlags): readonly string[] {
  const warnings: string[] = [];
  const isPlain = new URL(url).protocol === 'http:';
  if (isPlain)
    warnings.push(`--cp-address ${url}: without TLS anyone on the network path can read the token and change the answer`);
  else if (skipVerify) {
    warnings.push(
      '--skip-verify: the certificate of the control plane is not verified; any server that answers there gets the token',
    );
    if (caCert !== null || caCertFile !== null)
      warnings.push('--skip-verify: the CA certificate goes to the control plane, and verifies nothing here');
  }
  return warnings;
}

export const thisMachine: Machine = {
  readFile: (path) => readFile(path, 'utf8'),
  readInput: () => text(createReadStream('', { fd: 0, autoClose: false })),
  systemTrust,
  async systemCaPath() {
    for (const path of SYSTEM_BUNDLES) {
      const found = await stat(path).catch(() => null);
      if (found !== null) return path;
    }
    return '';
  },
  hasIpv6: () => Object.values(networkInterfaces()).some((all) => all?.some(({ family }) => family === 'IPv6') ?? false),
};

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
