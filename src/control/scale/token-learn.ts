/** What the scaler learns of generations: the time to the first piece and between pieces by concurrency, how long they are, and their room in memory. */
import { addBin, type StreamBin } from '../../core/load.ts'
import type { Demand } from './demand.ts'

export interface TokenMemory {
  /** By concurrency, rising. */
  readonly bins: readonly StreamBin[]
  readonly finished: number
  readonly pieces: number
  readonly squaredPieces: number
  /** Calls for which the memory of a replica has room; undefined: none has said it. */
  readonly room?: number
  /** Calls that waited in backends at the last report. */
  readonly waiting: number
}

export const NO_TOKENS: TokenMemory = {
  bins: [],
  finished: 0,
  pieces: 0,
  squaredPieces: 0,
  waiting: 0,
}

/** How fast a replica is changes with its deployment only; what it is asked for changes with its callers. */
const PACE_HALF_LIFE_MS = 300_000
const LENGTH_HALF_LIFE_MS = 45_000
const ROOM_HALF_LIFE_MS = 30_000

export function learnTokens(memory: TokenMemory, demand: Demand, elapsedMs: number): TokenMemory {
  const room = roomOf(memory.room, demand, elapsedMs)
  const { streams } = demand
  const waiting = demand.reported?.waiting ?? 0
  const known = { ...memory, waiting, ...(room === undefined ? {} : { room }) }
  // Without new generations nothing decays: after a quiet night, yesterday's values are the best there are.
  if (!streams) return known
  const fade = 0.5 ** (elapsedMs / LENGTH_HALF_LIFE_MS)
  return {
    ...known,
    bins: faded(memory.bins, streams.bins, 0.5 ** (elapsedMs / PACE_HALF_LIFE_MS)),
    finished: memory.finished * fade + streams.finished,
    pieces: memory.pieces * fade + streams.pieces,
    squaredPieces: memory.squaredPieces * fade + streams.squaredPieces,
  }
}

function roomOf(before: number | undefined, { reported }: Demand, elapsedMs: number): number | undefined {
  if (!reported || reported.room <= 0) return before
  const weight = before === undefined ? 1 : 1 - 0.5 ** (elapsedMs / ROOM_HALF_LIFE_MS)
  return (before ?? 0) + weight * (reported.room - (before ?? 0))
}

/** A bin decays as new samples of its concurrency come: the others are all that is known of other loads. */
function faded(before: readonly StreamBin[], fresh: readonly StreamBin[], fade: number): StreamBin[] {
  const bins = new Map(before.map((bin) => [bin.inflight, bin]))
  for (const bin of fresh) {
    const known = bins.get(bin.inflight)
    bins.set(bin.inflight, known ? addBin(scaled(known, fade), bin) : bin)
  }
  return [...bins.values()].sort((a, b) => a.inflight - b.inflight)
}

function scaled(bin: StreamBin, share: number): StreamBin {
  return {
    inflight: bin.inflight,
    firsts: bin.firsts * share,
    sumFirstMs: bin.sumFirstMs * share,
    first: Array.from(bin.first, (count) => count * share),
    gaps: bin.gaps * share,
    sumInflight: bin.sumInflight * share,
    sumGapMs: bin.sumGapMs * share,
    sumGapSquaresMs: bin.sumGapSquaresMs * share,
  }
}
