// npm run manifests: writes the manifests as YAML beside this file.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { JOINED, JOINED_STATE } from './joined.ts';
import { MESH_SCOPED, MESH_SCOPED_STATE } from './mesh-scoped.ts';
import { STANDALONE, STANDALONE_METRICS, STANDALONE_RULES } from './standalone.ts';
import type { Manifest } from './types.ts';

export const FILES: Readonly<Record<string, readonly Manifest[]>> = {
  'standalone.yaml': STANDALONE,
  'standalone-metrics.yaml': STANDALONE_METRICS,
  'standalone-rules.yaml': STANDALONE_RULES,
  'joined.yaml': JOINED,
  'joined-state.yaml': JOINED_STATE,
  'mesh-scoped.yaml': MESH_SCOPED,
  'mesh-scoped-state.yaml': MESH_SCOPED_STATE,
};

export function render(manifests: readonly Manifest[]): string {
  // Without anchors: an object that occurs twice is written twice.
  const documents = manifests.map((manifest) => stringify(manifest, { aliasDuplicateObjects: false, lineWidth: 0 }));
  return `# Made by \`npm run manifests\` from the TypeScript beside it.\n${documents.join('---\n')}`;
}

if (import.meta.main)
  for (const [name, manifests] of Object.entries(FILES)) writeFileSync(join(import.meta.dirname, name), render(manifests));
