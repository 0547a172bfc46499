import { plural } from '../base/plural.ts';
import { suggestionJson, suggestionText } from '../explain/print-suggestion.ts';
import type { SuggestionReport } from '../explain/print-suggestion.ts';
import { isProved, proveSuggestion } from '../explain/prove-suggestion.ts';
import type { ReadSessions } from '../explain/recorded.ts';
import { permissionAlone, routesFor, suggest } from '../explain/suggest.ts';
import type { SuggestedPermission, Suggestion } from '../explain/suggest.ts';
import { resourceOf } from '../explain/suggestion-resources.ts';
import { unusedDestinations, unusedPermissions } from '../explain/unused-permissions.ts';
import { createCa } from '../identity/issue.ts';
import { formatYaml } from '../resources/format-yaml.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { SuggestCommand } from './commands/suggest.ts';
import { EXIT_CONFIG } from './exit-codes.ts';
import { Stopped, loadFolder, untilStopped } from './load-folder.ts';
import type { FolderOptions } from './load-folder.ts';
import { migrateFromAdmin } from './migrate-from-admin.ts';
import { askForSessions, readSessions } from './read-sessions.ts';
import type { Terminal } from './terminal.ts';
import { shownAdmin } from './values.ts';

const EXIT_NOT_PROVED = 3;

const IS_PERMISSION = /^(Mesh)?TrafficPermission$/;

/**
 * Exits with 0 where the suggestion is proved, with 3 where it is not, and with 64, 66, 69 or 78
 * where none can be made.
 */
export function suggestCommand(command: SuggestCommand, terminal: Terminal): Promise<number> {
  return untilStopped(terminal, async () => {
    const { records, against, form, output } = command;
    const read = records.length === 0 && against.kind === 'admin' ? await askForSessions(against.at) : readSessions(records);
    for (const line of unread(read)) terminal.err(`zone-egress: ${line}\n`);
    const report =
      against.kind === 'folder'
        ? await againstFolder(against.folder, { read, command, terminal })
        : await againstAdmin(against, { read, command, terminal });
    terminal.out(
      output === 'json'
        ? `${JSON.stringify(suggestionJson(report, form), null, 2)}\n`
        : suggestionText(report, { form, toYaml: formatYaml }),
    );
    return isProved(report.beside ?? report.instead) ? 0 : EXIT_NOT_PROVED;
  });
}

function unread({ unreadable, unknownVersion }: ReadSessions): readonly string[] {
  const skipped = unreadable + unknownVersion;
  return skipped === 0 ? [] : [`${plural(skipped, 'line')} of the records cannot be read, and say nothing here`];
}

interface Asked {
  readonly read: ReadSessions;
  readonly command: SuggestCommand;
  readonly terminal: Terminal;
}

function suggested(snapshot: Snapshot, { read, command }: Asked): Suggestion {
  return suggest(snapshot, { sessions: read.records, requests: read.requests }, command);
}

async function againstFolder(folder: FolderOptions, asked: Asked): Promise<SuggestionReport> {
  const before = await loadFolder(folder, asked.terminal);
  const { snapshot } = before;
  const suggestion = suggested(snapshot, asked);
  const { permissions, uses } = suggestion;
  const more = [{ path: 'suggestion', text: permissions.map((each) => formatYaml(resourceOf(each, 'universal'))).join('---\n') }];
  const silent: Terminal = { ...asked.terminal, err: () => {} };
  const names = new Set(permissions.map(({ kind, mesh, name }) => `${kind} ${mesh}/${name}`));
  const meshes = new Set(permissions.map(({ mesh }) => mesh));
  const with_ = async (leavesOut: (kind: string, mesh: string, name: string) => boolean): Promise<Snapshot> => {
    const without = ({ kind, meta }: { kind: string; meta: { mesh: string; name: string; at: { file: string } } }): boolean =>
      meta.at.file !== 'suggestion' && leavesOut(kind, meta.mesh, meta.name);
    const after = await loadFolder(folder, silent, { more, without });
    return after.snapshot;
  };
  const beside = await with_((kind, mesh, name) => names.has(`${kind} ${mesh}/${name}`));
  const instead = await with_((kind, mesh) => IS_PERMISSION.test(kind) && meshes.has(mesh));
  return {
    suggestion,
    beside: proveSuggestion(uses, snapshot, beside),
    instead: proveSuggestion(uses, snapshot, instead),
    unused: unusedPermissions(before, uses),
    unusedDestinations: unusedDestinations(snapshot, [...uses, ...suggestion.refused]),
  };
}

/** The permissions of a control plane are known by their effect only. */
async function againstAdmin(
  { at, zone }: Extract<SuggestCommand['against'], { kind: 'admin' }>,
  asked: Asked,
): Promise<SuggestionReport> {
  const ca = await createCa({ mesh: 'suggest', keyType: 'ec', nowMs: Date.now() });
  const { source } = await migrateFromAdmin(at, { zone, ca, terminal: asked.terminal });
  const { snapshot } = source;
  if (snapshot.routes.size === 0)
    throw new Stopped(EXIT_CONFIG, `${shownAdmin(at.url)}: the control plane has sent no route yet`);
  const suggestion = suggested(snapshot, asked);
  return {
    suggestion,
    beside: null,
    instead: proveSuggestion(suggestion.uses, snapshot, withOnly(snapshot, suggestion.permissions)),
    unused: [],
    unusedDestinations: unusedDestinations(snapshot, [...suggestion.uses, ...suggestion.refused]),
  };
}

/** Puts each suggested permission in the place of that of its routes. */
function withOnly(snapshot: Snapshot, permissions: readonly SuggestedPermission[]): Snapshot {
  const routes = new Map(snapshot.routes);
  for (const permission of permissions) {
    const by = `${permission.kind} ${permission.mesh}/${permission.name}`;
    for (const route of routesFor(snapshot, permission))
      routes.set(route.serverName, { ...route, permission: permissionAlone(permission, route, by) });
  }
  return { ...snapshot, routes };
}
