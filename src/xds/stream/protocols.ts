import type { AdsProtocol } from '../messages/ads-state.ts';
import { delta } from './delta.ts';
import type { Protocol } from './protocol.ts';
import { stateOfTheWorld } from './state-of-the-world.ts';

export const PROTOCOLS: Readonly<Record<AdsProtocol, Protocol>> = { sotw: stateOfTheWorld, delta };
