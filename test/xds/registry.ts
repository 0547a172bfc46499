import { globSync } from 'node:fs';
import type { DescFile, Registry } from '@bufbuild/protobuf';
import { createRegistry } from '@bufbuild/protobuf';

const PROTO = new URL('../../generated/envoy/', import.meta.url);

/** Returns every generated message: recorded JSON has some that the sources do not read. */
export async function everyMessage(): Promise<Registry> {
  const files: DescFile[] = [];
  for (const path of globSync('**/*_pb.js', { cwd: PROTO })) {
    const module = (await import(new URL(path, PROTO).href)) as Readonly<Record<string, unknown>>;
    for (const [name, value] of Object.entries(module)) if (name.startsWith('file_')) files.push(value as DescFile);
  }
  return createRegistry(...files);
}
