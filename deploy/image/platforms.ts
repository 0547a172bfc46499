import type { Architecture } from './elf.ts';

const ARCHITECTURES: readonly Architecture[] = ['amd64', 'arm64'];

/** Reads a list of platforms in docker's names, such as `linux/amd64,linux/arm64`. */
export function architecturesOf(list: string): readonly Architecture[] {
  return list.split(',').map((platform) => {
    const found = ARCHITECTURES.find((each) => [`linux/${each}`, each].includes(platform.trim()));
    if (found !== undefined) return found;
    throw new Error(`--platform ${platform}: allowed are linux/amd64 and linux/arm64, with a comma between them`);
  });
}

/** The processor of this machine. */
export function ownArchitecture(): Architecture {
  return process.arch === 'arm64' ? 'arm64' : 'amd64';
}
