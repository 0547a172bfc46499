import type { AnswerPage } from '../admin/page/console-page.ts';
import type { PageFacts } from '../admin/page/facts.ts';
import type { AdminState } from '../admin/server.ts';
import { envoyFacts } from '../control/envoy-facts.ts';
import type { EnvoyFactsOptions } from '../control/envoy-facts.ts';
import { lastHour } from '../observe/last-hour.ts';
import type { Configuration } from './configure.ts';

export interface BrowserPage {
  readonly answer: AnswerPage;
  close(): void;
}

export interface BrowserPageOptions {
  readonly state: AdminState;
  readonly about: Omit<EnvoyFactsOptions, 'control' | 'adminAt' | 'of'>;
  readonly configuration: Pick<Configuration, 'live' | 'lastLoad'>;
}

/** Collects the facts of the page for browsers. Its code is loaded by the first browser. */
export function browserPage({ state, about, configuration }: BrowserPageOptions): BrowserPage {
  const { clock, observer, workers } = about;
  const hour = lastHour(observer, clock, () => workers.limits.sessions);
  const facts: PageFacts = {
    ...envoyFacts({ ...about, control: () => null, adminAt: () => null }),
    ...state,
    name: () => configuration.live()?.listener.name ?? '',
    open: () => workers.limits.sessions,
    lastLoad: () => configuration.lastLoad(),
    credentials: () => workers.credentials,
    lastHour: hour,
  };
  let loaded: Promise<AnswerPage> | null = null;
  return {
    async answer(path, search) {
      loaded ??= import('../admin/page/console-page.ts').then(({ consolePage }) => consolePage(facts));
      return (await loaded)(path, search);
    },
    close: () => hour.close(),
  };
}
