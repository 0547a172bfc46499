/**
 * Kuma's control plane on loopback, as a zone egress sees it: one TLS port with `POST /bootstrap`
 * (HTTP/1.1) and ADS (gRPC), and the client that reads the admin listener. It serves what a test
 * gives it or plays a recording, remembers the requests, and fails on demand. It speaks both forms
 * of ADS, the state of the world and delta.
 */
import { systemClock } from '../../base/clock.ts';
import type { Clock } from '../../base/clock.ts';
import { addressKey } from '../../model/endpoint-view.ts';
import type { AdsProtocol, AdsType } from '../../xds/messages/ads-state.ts';
import { callback } from '../../base/shape.ts';
import { controlPlaneOptions, controlPlaneWait, envoyResources } from './check-control-plane.ts';
import { createAdminClient } from './admin-client.ts';
import type { AdminClient } from './admin-client.ts';
import { openPort, serverCertificate } from './control-plane-port.ts';
import type { AdsCall, ControlPlanePort } from './control-plane-port.ts';
import type { EnvoyResources } from './envoy-resources.ts';
import { createDataplaneTokens } from './dataplane-tokens.ts';
import type { DataplaneTokens } from './dataplane-tokens.ts';
import { FakeAds } from './fake-ads.ts';
import type { AdsListener, AdsPort, FakeAdsRequest, FakeAdsResponse } from './fake-ads.ts';
import { answerBootstrap } from './fake-bootstrap.ts';
import type { FakeBootstrapAnswer, FakeBootstrapRequest } from './fake-bootstrap.ts';
import type { KumaVersion } from './fake-node.ts';
import { readRecording } from './recording.ts';
import type { RecordingOptions } from './recording.ts';
import { Replay } from './replay.ts';
import { createZoneTokens } from './zone-tokens.ts';
import type { ZoneTokens } from './zone-tokens.ts';

/** gRPC's code for a message that cannot be read. */
const INTERNAL = 13;

export interface FakeControlPlaneOptions {
  readonly address?: string;
  /** Absent or 0 means a free one. */
  readonly port?: number;
  /** Absent means `zone-1`. */
  readonly zone?: string;
  /** Absent means `2.14`. */
  readonly version?: KumaVersion;
  /**
   * The clock of the waits below and of the dates of tokens; dates of certificates are in real
   * time.
   */
  readonly clock?: Clock;
  readonly resources?: EnvoyResources;
  /** Names of ZoneEgresses that exist without a proxy that brings them. */
  readonly zoneEgresses?: readonly string[];
  /**
   * How long a name stays taken after its stream ended, if the proxy brought the resource. Absent
   * means 10 s.
   */
  readonly deregistrationDelayMs?: number;
  /** How long a stream sleeps after a NACK. Absent means 5 s. */
  readonly nackBackoffMs?: number;
  /**
   * From the first request to the first answer. Absent means 0; a real control plane takes 1.2 s.
   */
  readonly firstAnswerMs?: number;
  /** `dpServer.authn.zoneProxy.type`. Absent means `zoneToken`. */
  readonly authentication?: 'zoneToken' | 'none';
  /**
   * Absent means issued by `caCert`. A self-signed one, which a control plane makes for itself, is
   * its own authority.
   */
  readonly certificate?: 'issued' | 'self-signed';
  /** `bootstrapServer.params.xdsHost`. Absent means the host that the proxy dialled. */
  readonly xdsHost?: string;
  /** `enableReloadableTokens`: `googleGrpc` in the bootstrap of a proxy that has a token file. */
  readonly reloadableTokens?: boolean;
  /** Delta ADS for every proxy. Absent: for those that offer it, from 2.12 on. */
  readonly delta?: boolean;
  /**
   * A bootstrap document to answer with; addresses, CA and token become those of this control
   * plane.
   */
  readonly recordedBootstrap?: string;
}

/** Names one proxy: `<mesh>.<name>` for a Dataplane, `.<name>` for a ZoneEgress. */
export interface ForProxy {
  readonly of?: string;
}

export interface FakeControlPlane extends AsyncDisposable {
  /** `https://127.0.0.1:<port>`, as `--cp-address` takes it. */
  readonly url: string;
  readonly port: number;
  /** PEM. */
  readonly caCert: string;
  readonly tokens: ZoneTokens;
  /** The tokens of Dataplanes; each mesh has a key of its own. */
  readonly dataplaneTokens: DataplaneTokens;
  readonly admin: AdminClient;
  /** Reads an admin listener as Kuma does; `address` is `127.0.0.2:9901`. */
  readonly inspect: AdminClient['inspect'];
  /** In the order of arrival, of all streams. */
  readonly requests: readonly FakeAdsRequest[];
  readonly responses: readonly FakeAdsResponse[];
  /** The requests to `/bootstrap` with their answers. */
  readonly bootstraps: readonly { readonly request: FakeBootstrapRequest; readonly answer: FakeBootstrapAnswer }[];
  /** Number of open streams. */
  readonly streams: number;
  /**
   * Node ids that count as connected: those with an open stream, and for `deregistrationDelayMs`
   * after its end those that brought their resource. Sidecars are sent to the places of these.
   */
  readonly proxies: readonly string[];

  /**
   * Replaces the types that are given, and pushes what changed. `of`: only for the proxy with this
   * node id, which is sent nothing else from then on.
   */
  set(resources: EnvoyResources, options?: ForProxy): void;
  /**
   * Plays the recorded conversation in `folder` from the next stream on, and nothing else. Rejects
   * where it cannot be read.
   */
  replay(folder: string, options?: RecordingOptions): Promise<Replay>;
  /**
   * Resolves with the first request, past or to come, that fits. Rejects after `timeoutMs` (10 s)
   * of real time, with the requests that came instead.
   */
  waitFor(fits: (request: FakeAdsRequest) => boolean, options?: { readonly timeoutMs?: number }): Promise<FakeAdsRequest>;

  /** Cuts every connection. */
  dropStreams(): void;
  /** Holds all answers of this type back until `resume`. */
  stall(type: AdsType): void;
  resume(type: AdsType): void;
  /** Delays each answer of this type by this much; 0 ends it. */
  delay(type: AdsType, ms: number): void;
  /**
   * Sends, once, to each stream that asked for the type: a resource that cannot be decoded, or
   * bytes that are no message.
   */
  sendGarbage(type: AdsType, what?: 'resource' | 'message'): void;
  /** Adds a resource that no proxy can accept, until the returned function is called. */
  nackLoop(type: AdsType): () => void;
  /**
   * Ends every new stream with UNKNOWN and this text; null stops it. `of`: only those of the proxy
   * with this node id.
   */
  refuseAuth(text: string | null, options?: ForProxy): void;
  /** Answers every `/bootstrap` request with this; null stops it. */
  refuseBootstrap(answer: FakeBootstrapAnswer | null): void;
  /**
   * Deletes the ZoneEgress of this name, or the Dataplane `<mesh>.<name>`: its stream ends with
   * UNKNOWN after `deregistrationDelayMs`, and a proxy that does not bring its resource is refused
   * until `createResource`.
   */
  deleteResource(name: string): void;
  createResource(name: string): void;
  /**
   * Acts as on SIGTERM: streams end with OK, the port closes, and the registrations of proxies are
   * forgotten.
   */
  stop(): Promise<void>;
  /** Starts on the same port again. */
  start(): Promise<void>;
  restart(): Promise<void>;
  close(): Promise<void>;
}

/** Over 60 lines: one object over the state of the fake; each of its methods is short. */
export async function createFakeControlPlane(options: FakeControlPlaneOptions = {}): Promise<FakeControlPlane> {
  controlPlaneOptions(options, 'createFakeControlPlane');
  const { address = '127.0.0.1', zone = 'zone-1', version = '2.14', clock = systemClock({ keepAlive: false }) } = options;
  const { zoneEgresses = [], authentication = 'zoneToken' } = options;
  const [tls, tokens, admin] = await Promise.all([
    serverCertificate(address, options.certificate ?? 'issued'),
    createZoneTokens({ zone, wall: () => clock.wall() }),
    createAdminClient({ nowMs: Date.now() }),
  ]);
  const dataplaneTokens = createDataplaneTokens({ wall: () => clock.wall() });
  /** The refusals by node id; that of the empty id is for all. */
  const refusedAuth = new Map<string, string>();
  let refusedBootstrap: FakeBootstrapAnswer | null = null;
  let replay: Replay | null = null;
  let port = options.port ?? 0;
  let running: ControlPlanePort | null = null;
  const bootstraps: { request: FakeBootstrapRequest; answer: FakeBootstrapAnswer }[] = [];
  const ads = new FakeAds({
    clock,
    version,
    zoneEgresses,
    deregistrationDelayMs: options.deregistrationDelayMs ?? 10_000,
    nackBackoffMs: options.nackBackoffMs ?? 5_000,
    firstAnswerMs: options.firstAnswerMs ?? 0,
    refusal(authorization, proxy) {
      const refused = refusedAuth.get(proxy.id) ?? refusedAuth.get('');
      if (refused !== undefined) return refused;
      if (authentication === 'none') return null;
      if (authorization.length > 1)
        return `could not extract credential from DiscoveryRequest: request must have exactly 1 "authorization" header, got ${authorization.length}`;
      const [mesh = ''] = proxy.id.split('.');
      const [token = ''] = authorization;
      const why = proxy.isDataplane && mesh !== '' ? dataplaneTokens.refusal(token, { ...proxy, mesh }) : tokens.refusal(token);
      return why === null ? null : `authentication failed: ${why}`;
    },
  });
  ads.set(options.resources ?? {});

  function onStream(call: AdsCall, protocol: AdsProtocol): void {
    const authorization = call.metadata.get('authorization').map(String);
    serveStream(call, (port) => replay?.open(port, ads, protocol) ?? ads.open(port, authorization, protocol));
  }

  function onBootstrap(request: FakeBootstrapRequest): FakeBootstrapAnswer {
    const answer =
      refusedBootstrap ??
      answerBootstrap(request, {
        version,
        port,
        caCert: tls.caCert,
        serverCert: tls.server.cert,
        xdsHost: options.xdsHost ?? null,
        reloadableTokens: options.reloadableTokens ?? false,
        delta: options.delta ?? false,
        recorded: options.recordedBootstrap ?? null,
        zoneEgresses: ads.zoneEgresses,
      });
    bootstraps.push({ request, answer });
    return answer;
  }

  async function start(): Promise<void> {
    if (running !== null) return;
    running = await openPort({ address, port, certificate: tls.server, onStream, onBootstrap });
    port = running.port;
  }
  async function stop(): Promise<void> {
    const stopping = running;
    running = null;
    ads.shutDown();
    replay?.shutDown();
    await stopping?.stop();
  }
  async function close(): Promise<void> {
    const closing = running;
    running = null;
    ads.dispose();
    admin.close();
    await closing?.close();
  }
  await start();

  return {
    url: `https://${addressKey(address, port)}`,
    port,
    caCert: tls.caCert,
    tokens,
    dataplaneTokens,
    admin,
    inspect: (at, request) => admin.inspect(at, request),
    requests: ads.requests,
    responses: ads.responses,
    bootstraps,
    get streams() {
      return ads.openStreams + (replay?.openStreams ?? 0);
    },
    get proxies() {
      return ads.proxies;
    },
    set(resources, { of = null } = {}) {
      envoyResources(resources, 'set');
      ads.set(resources, of);
    },
    async replay(folder, options = {}) {
      replay = new Replay(await readRecording(folder, options));
      return replay;
    },
    waitFor(fits, wait = {}) {
      callback(fits, 'waitFor: fits');
      controlPlaneWait(wait, 'waitFor');
      return waitFor(ads, fits, wait.timeoutMs ?? 10_000);
    },
    dropStreams: () => running?.drop(),
    stall: (type) => void ads.stalled.add(type),
    resume(type) {
      ads.stalled.delete(type);
      ads.answerAll();
    },
    delay: (type, ms) => void ads.delays.set(type, ms),
    sendGarbage: (type, what = 'resource') => ads.sendGarbage(type, what),
    nackLoop(type) {
      ads.setBad(type, true);
      return () => ads.setBad(type, false);
    },
    refuseAuth(text, { of = '' } = {}) {
      if (text === null) refusedAuth.delete(of);
      else refusedAuth.set(of, text);
    },
    refuseBootstrap: (answer) => void (refusedBootstrap = answer),
    deleteResource: (name) => ads.deleteResource(name),
    createResource: (name) => ads.createResource(name),
    stop,
    start,
    async restart() {
      await stop();
      await start();
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

function serveStream(call: AdsCall, open: (port: AdsPort) => AdsListener): void {
  const port: AdsPort = {
    send: (response: Uint8Array) => void call.write(response),
    end(code: number, message: string) {
      if (code === 0) call.end();
      else call.emit('error', { code, details: message });
    },
  };
  const listener = open(port);
  let closed = false;
  const onClosed = (): void => {
    if (!closed) listener.closed();
    closed = true;
  };
  call.on('data', (request: Uint8Array) => {
    try {
      listener.request(request);
    } catch (error) {
      port.end(INTERNAL, `the request cannot be read: ${String(error)}`);
    }
  });
  call.on('end', () => {
    onClosed();
    call.end();
  });
  call.on('cancelled', onClosed);
  call.on('close', onClosed);
  // Without a listener the error that ends a stream would end the process.
  call.on('error', onClosed);
}

function waitFor(ads: FakeAds, fits: (request: FakeAdsRequest) => boolean, timeoutMs: number): Promise<FakeAdsRequest> {
  const past = ads.requests.find(fits);
  if (past !== undefined) return Promise.resolve(past);
  return new Promise((resolve, reject) => {
    const timer = systemClock().after(timeoutMs, () => {
      forget();
      const came = ads.requests.map(
        ({ type, message, nonce, error }) => `${type ?? message.typeUrl} ${nonce}${error === null ? '' : ' NACK'}`,
      );
      reject(new Error(`wait for a request: none that fits within ${timeoutMs} ms, but [${came.join(', ')}]`));
    });
    const forget = ads.onRequest((request) => {
      if (!fits(request)) return;
      forget();
      timer.cancel();
      resolve(request);
    });
  });
}
