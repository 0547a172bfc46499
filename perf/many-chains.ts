import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { ControlPlaneOptions } from '../src/egress.ts';

export interface ManyChains {
  readonly child: ChildProcess;
  readonly controlPlane: ControlPlaneOptions;
  /** Sends a line to the control plane and returns its answer. */
  ask(line: string): Promise<Readonly<Record<string, number>>>;
}

/**
 * Starts a control plane with this many chains as a process of its own; returns how an egress joins
 * it. A line on its standard input changes one service.
 */
export async function manyChains(chains: number, form: 'sotw' | 'delta' = 'sotw'): Promise<ManyChains> {
  const file = fileURLToPath(new URL('control-plane-process.ts', import.meta.url));
  const child = spawn(process.execPath, [file, String(chains), form], { stdio: ['pipe', 'pipe', 'inherit'] });
  const answers = createInterface({ input: child.stdout });
  const [line] = (await once(answers, 'line')) as [string];
  const { url, caCert, token } = JSON.parse(line) as { url: string; caCert: string; token: string };
  return {
    child,
    async ask(question) {
      const answer = once(answers, 'line') as Promise<[string]>;
      child.stdin.write(`${question}\n`);
      return JSON.parse((await answer)[0]) as Record<string, number>;
    },
    controlPlane: {
      url,
      caCert,
      systemTrust: null,
      skipVerify: false,
      token: () => Promise.resolve(token),
      name: 'egress-1',
      resource: JSON.stringify({
        type: 'ZoneEgress',
        name: 'egress-1',
        zone: 'zone-1',
        networking: { address: '127.0.0.1', port: 10_002 },
      }),
      retryBackoffMs: 100,
      retryMaxMs: 5_000,
      readinessPort: 9_902,
      drainTimeMs: 1_000,
      systemCaPath: '',
      ipv6Enabled: false,
      maxHeapSizeBytes: 0,
      dynamicMetadata: {},
      warnings: [],
    },
  };
}
