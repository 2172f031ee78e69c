/** What the command and the threads of its load generators say to each other. Plain data. */
import type { ClientTls } from '../lib/tls/material.ts'
import type { DialectOptions } from './dialects/dialect.ts'
import type { Stage } from './profile.ts'
import type { Spacing } from './schedule.ts'
import type { TallyCounts } from './tally.ts'

/** What all phases of a test have in common, for one generator. */
export interface GeneratorOptions {
  /** Which generator this is, and how many there are. */
  readonly index: number
  readonly of: number
  /** The servers, of which each phase asks one. */
  readonly urls: readonly string[]
  readonly dialect: DialectOptions
  readonly keys: number
  readonly exponent: number
  readonly seed: number
  readonly timeoutMs: number
  readonly tls: ClientTls | undefined
  readonly streams: number
  /** Calls at a time, of this generator. */
  readonly callers: number
  readonly driver: 'own' | 'autocannon'
}

/** A stretch of a test in which one server is asked. */
export interface Phase {
  readonly id: number
  /** The index of its server. */
  readonly side: number
  readonly plan: PhasePlan
  /** When it begins, milliseconds since the Unix epoch, the same for all generators. */
  readonly at: number
}

export type PhasePlan =
  | { readonly kind: 'closed'; readonly durationMs: number }
  | { readonly kind: 'open'; readonly stages: readonly Stage[]; readonly spacing: Spacing }
  | {
      readonly kind: 'replay'
      readonly files: readonly string[]
      readonly speed: number
      /** From the first to the last call of the log, at that speed. */
      readonly durationMs: number
      /** After which no call is made; Infinity: all are made, late ones too. */
      readonly limitMs: number
    }

export type GeneratorRequest =
  | { readonly type: 'begin'; readonly phase: Phase }
  /** No more calls; those that run have so long to end. */
  | { readonly type: 'stop'; readonly graceMs: number }
  | { readonly type: 'close' }

export type GeneratorReport =
  | { readonly type: 'ready' }
  /** What was counted in this second of the phase, or in a part of it. */
  | { readonly type: 'counts'; readonly phase: number; readonly second: number; readonly counts: TallyCounts }
  /** All calls of the phase have ended. `busy`: the share of the time in which the thread had work. */
  | { readonly type: 'ended'; readonly phase: number; readonly busy: number }
  | { readonly type: 'failed'; readonly message: string }
