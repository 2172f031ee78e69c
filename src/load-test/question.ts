/** What a load test asks: requests of one dialect, of which some come far more often than others. */
import type { Transport } from '../core/backend.ts'
import type { RawPairs } from '../core/call.ts'

/** One request, made once and sent as often as its key is drawn. */
export interface Question {
  readonly method: string
  /** Path with query. */
  readonly target: string
  /** The same list for as many questions as possible: the client checks each list once. */
  readonly headers: RawPairs
  readonly body: Uint8Array | undefined
  readonly rows: number
  readonly transport: Transport
}

/** Makes the question of a key, counted from 1. The same key has the same question each time. */
export type Questioner = (key: number) => Question
