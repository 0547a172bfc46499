import type { RouteConfiguration } from '#envoy/config/route/v3/route_pb.js';
import type { RouteAction } from '#envoy/config/route/v3/route_components_pb.js';
import {
  HttpConnectionManager_ForwardClientCertDetails as CertDetails,
  HttpConnectionManager_PathWithEscapedSlashesAction as Slashes,
  HttpConnectionManager_ServerHeaderTransformation as ServerHeader,
} from '#envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import type { HttpConnectionManager } from '#envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';

/**
 * Lists the settings of a manager and its routes that have no effect here, in words. None of them
 * restricts access.
 */
export function unreadOfHttp(manager: HttpConnectionManager, config: RouteConfiguration): readonly string[] {
  const routes = config.virtualHosts.flatMap((host) => host.routes);
  const actions = routes.flatMap(({ action }) => (action.case === 'route' ? [action.value] : []));
  const asked: Readonly<Record<string, boolean>> = {
    ...ofManager(manager),
    'changes of headers by routes': [config, ...config.virtualHosts, ...routes].some(changesHeaders),
    ...Object.fromEntries(Object.entries(OF_ACTIONS).map(([what, isAsked]) => [what, actions.some((action) => isAsked(action))])),
  };
  return Object.entries(asked).flatMap(([what, isAsked]) => (isAsked ? [what] : []));
}

function ofManager(manager: HttpConnectionManager): Readonly<Record<string, boolean>> {
  const { commonHttpProtocolOptions: common } = manager;
  return {
    tracing: manager.tracing !== undefined,
    'upgrades to other protocols': manager.upgradeConfigs.length > 0,
    'answers of its own in other words': manager.localReplyConfig !== undefined,
    'another server header': manager.serverName !== '' || manager.serverHeaderTransformation !== ServerHeader.OVERWRITE,
    'x-forwarded-for': manager.useRemoteAddress === true || manager.xffNumTrustedHops > 0,
    'x-forwarded-client-cert': manager.forwardClientCertDetails !== CertDetails.SANITIZE,
    'changes of paths':
      manager.normalizePath === true || manager.mergeSlashes || !KEEPING.has(manager.pathWithEscapedSlashesAction),
    'changes of hosts': manager.stripMatchingHostPort || manager.stripPortMode.case !== undefined || manager.stripTrailingHostDot,
    'other limits of heads': manager.maxRequestHeadersKb !== undefined || common?.maxHeadersCount !== undefined,
    'requests of one client connection': (common?.maxRequestsPerConnection ?? 0) > 0,
  };
}

const KEEPING: ReadonlySet<Slashes> = new Set([Slashes.IMPLEMENTATION_SPECIFIC_DEFAULT, Slashes.KEEP_UNCHANGED]);

interface ChangesOfHeaders {
  readonly requestHeadersToAdd: readonly unknown[];
  readonly requestHeadersToRemove: readonly unknown[];
  readonly responseHeadersToAdd: readonly unknown[];
  readonly responseHeadersToRemove: readonly unknown[];
}

function changesHeaders(of: ChangesOfHeaders): boolean {
  const lists = [of.requestHeadersToAdd, of.requestHeadersToRemove, of.responseHeadersToAdd, of.responseHeadersToRemove];
  return lists.some((list) => list.length > 0);
}

const OF_ACTIONS: Readonly<Record<string, (action: RouteAction) => boolean>> = {
  'other paths towards the service': ({ prefixRewrite, regexRewrite, pathRewritePolicy }) =>
    prefixRewrite !== '' || regexRewrite !== undefined || pathRewritePolicy !== undefined,
  'another host than that of the endpoint': ({ hostRewriteSpecifier: by }) =>
    by.case !== undefined && by.case !== 'autoHostRewrite',
  'copies of requests': ({ requestMirrorPolicies }) => requestMirrorPolicies.length > 0,
  retries: ({ retryPolicy, retryPolicyTypedConfig }) => retryPolicy !== undefined || retryPolicyTypedConfig !== undefined,
  'redirects that are followed': ({ internalRedirectPolicy }) => internalRedirectPolicy !== undefined,
};
