/**
 * The meta word of an arena's record:
 *
 *   reads since its last turn, 0-3 · live · in the main log · cost, 5 bits · heat, 11 bits · on trial
 *
 * Heat is a fixed-point number: the reads of a turn, averaged over turns with falling weights, so that whatever an entry costs,
 * it leaves some turns after its last read.
 */
import { MAX_COST } from './miss-cost.ts'

export const LIVE = 4
export const IN_MAIN = 8
/** It came to the main log without having been read. */
export const ON_TRIAL = 1 << 20
const READS = 3
const COST_SHIFT = 4
const COST = MAX_COST << COST_SHIFT
const HEAT_SHIFT = 9
const HEAT = 0x7ff
/** The heat of one read in a turn. */
const ONE = 256
const MAX_HEAT = 2.5 * ONE
/** The part of the heat that is left after a turn without a read. */
const KEPT = 0.75

export function isRead(meta: number): boolean {
  return (meta & READS) > 0
}

/** As in `miss-cost.ts`. */
export function costOf(meta: number): number {
  return (meta & COST) >>> COST_SHIFT
}

/** Reads that are expected in a turn. */
export function expectedReads(meta: number): number {
  return heatOf(meta) / ONE
}

/** Of a record that was read once more; the same from the third read on, which saves the write. */
export function metaRead(meta: number): number {
  return (meta & READS) < READS ? meta + 1 : meta
}

/** Of a new record in the small log. */
export function metaNew(cost: number): number {
  return LIVE | (cost << COST_SHIFT)
}

/** Of a new record in the main log, which has been here before; `replaced`: the meta of the key's record until now, or 0. */
export function metaReturned(cost: number, replaced: number): number {
  return inMain(metaNew(cost), Math.max(ONE, heatOf(replaced)))
}

/** Of a record that was read from a file, with the meta of `metaKept`, whatever its other bits are. */
export function metaRestored(kept: number): number {
  return inMain(kept, heatOf(kept))
}

/** Of a record that moves to the main log; `reads`: how many are expected there in a turn. */
export function metaMoved(meta: number, reads: number): number {
  return inMain(meta, Math.floor(reads * ONE))
}

/** Of a record that moves to the main log because it was read. */
export function metaPromoted(meta: number): number {
  return inMain(meta, (meta & READS) * ONE)
}

/** Of a record of the main log after a turn. */
export function metaTurned(meta: number): number {
  return inMain(meta, Math.floor(heatOf(meta) * KEPT) + (meta & READS) * ONE)
}

function inMain(meta: number, heat: number): number {
  return LIVE | IN_MAIN | (meta & COST) | (Math.min(MAX_HEAT, heat) << HEAT_SHIFT)
}

function heatOf(meta: number): number {
  return (meta >>> HEAT_SHIFT) & HEAT
}
