/**
 * The load table: what is known of each backend's load, as a struct of arrays, with one column a fact and one row a slot.
 * The arrays lie in SharedArrayBuffers, so that all data workers decide on the same numbers. A table survives
 * `postMessage` and `workerData`: the receiver sees the same memory.
 *
 * `inflight` has one row a worker, and only that worker writes its row, so a worker that dies is forgotten by zeroing its
 * row. With several workers it is written and read by atomics: what one has counted, the others must see before they take
 * a place. All workers write the smoothed latencies; a lost update there loses one sample.
 *
 * Every worker reads the times in the table, so they come from one monotonic clock of the whole process. Node's
 * `performance.now()` is one: it has the same origin in every thread.
 */
import { createPartTable, type PartTable } from './fair/pool-part.ts'
import { CLASSES, createShareTable, forgetShares, type ShareTable } from './fair/share-table.ts'
import { createPrefixTable, type PrefixTable } from './prefix-table.ts'
import { createReportTable, forgetReport, type ReportTable } from './reported-load.ts'

/** Twice what all pools may hold: the slots of backends that have left rest for a minute. */
export const MAX_SLOTS = 2048

export interface LoadTable {
  readonly slots: number
  readonly workers: number
  /** The row of `inflight` that this thread writes. */
  readonly worker: number
  /** Calls sent and not finished; worker w's count for a slot is at `w * slots + slot`. */
  readonly inflight: Int32Array
  /** Calls that other gateways have running there. Its writer zeroes it when its data is older than two seconds. */
  readonly peers: Int32Array
  /** Static weight; 1 is the ordinary backend. */
  readonly weight: Float64Array
  /** The weight in force: static weight times slow start times what outlier detection leaves of it. */
  readonly share: Float64Array
  /** The part of weight and limit that slow start allows, in (0, 1]. */
  readonly ramp: Float64Array
  /** What outlier detection leaves of the weight, in (0, 1]. */
  readonly handicap: Float64Array
  /** The most concurrent calls; 0: not limited. */
  readonly limit: Float64Array
  /** Smoothed latency in milliseconds and the monotonic time of its last sample; 0: never seen. */
  readonly ewmaMs: Float64Array
  readonly ewmaAt: Float64Array
  /** Smoothed share of failed calls and the monotonic time of its last change. */
  readonly failing: Float64Array
  readonly failingAt: Float64Array
  /** Calls that another backend answered first, since the last good answer. */
  readonly lapses: Int32Array
  /** Monotonic time since when the backend is ready, for slow start; -Infinity: for long. */
  readonly readyAt: Float64Array
  /** Monotonic time until which the backend asked for no calls; 0: it did not. */
  readonly pausedUntil: Float64Array
  /** Which backends have seen the beginnings of which prompts. */
  readonly prefixes: PrefixTable
  /** What the backends say of their own load. */
  readonly reports: ReportTable
  /** One word: how often a pause has begun or ended. */
  readonly pauses: Int32Array
  /** The holder of the slot, as `incarnationOf`; 0: nobody. Calls of an earlier holder are not counted out of it. */
  readonly incarnation: Int32Array
  /**
   * Since when a worker's first waiting call waits for a pool, monotonic; 0: none waits. Rows as in `inflight`, with one
   * column a pool.
   */
  readonly waiting: Float64Array
  /** The class of that call and its tenant's account, as `account * CLASSES + priority`. */
  readonly waitingBy: Int32Array
  /** Which places that tenant may have, as `eligibilityOf`. */
  readonly waitingFor: Int32Array
  /** 1: others wait at the worker who may have different places. */
  readonly waitingMixed: Int32Array
  /** 1: the worker's calls wait because there is no room, and not because the room is of no use to them. */
  readonly wanting: Int32Array
  /** How often a worker has tried to serve its calls. */
  readonly looks: Int32Array
  /** How many calls of a worker wait for a pool, by class; likewise, `CLASSES` numbers a column. */
  readonly queued: Int32Array
  /** The weights of their tenants. */
  readonly queuedWeight: Float64Array
  /** What tenants were served of each pool. */
  readonly shares: ShareTable
  /** The parts of each pool's places that are this gateway's. */
  readonly parts: PartTable
  /** The pool of each column, as a digest of its name; 0: none. */
  readonly pools: Int32Array
  /** One word a worker, which another worker increments when a backend has room for a call that waits there. */
  readonly bell: Int32Array
}

const floats = (length: number): Float64Array => new Float64Array(new SharedArrayBuffer(length * 8))
const integers = (length: number): Int32Array => new Int32Array(new SharedArrayBuffer(length * 4))

export function createLoadTable(slots: number = MAX_SLOTS, workers = 1): LoadTable {
  return {
    slots,
    workers,
    worker: 0,
    inflight: integers(slots * workers),
    peers: integers(slots),
    weight: floats(slots).fill(1),
    share: floats(slots).fill(1),
    ramp: floats(slots).fill(1),
    handicap: floats(slots).fill(1),
    limit: floats(slots),
    ewmaMs: floats(slots),
    ewmaAt: floats(slots),
    failing: floats(slots),
    failingAt: floats(slots),
    lapses: integers(slots),
    readyAt: floats(slots).fill(-Infinity),
    pausedUntil: floats(slots),
    prefixes: createPrefixTable(slots),
    reports: createReportTable(slots),
    pauses: integers(1),
    incarnation: integers(slots),
    waiting: floats(slots * workers),
    waitingBy: integers(slots * workers),
    waitingFor: integers(slots * workers),
    waitingMixed: integers(slots * workers),
    wanting: integers(slots * workers),
    looks: integers(slots * workers),
    queued: integers(slots * workers * CLASSES),
    queuedWeight: floats(slots * workers * CLASSES),
    shares: createShareTable(slots, workers),
    parts: createPartTable(slots),
    pools: integers(slots),
    bell: integers(workers),
  }
}

/** The same memory, seen by worker `worker`. */
export function tableForWorker(table: LoadTable, worker: number): LoadTable {
  if (!(worker >= 0 && worker < table.workers)) {
    throw new RangeError(`worker ${worker} has no row: the load table was made for ${table.workers}`)
  }
  return { ...table, worker }
}

/** Calls running at a slot, of all workers of this process. */
export function inflightOf(table: LoadTable, slot: number): number {
  const { inflight, slots } = table
  if (table.workers === 1) return inflight[slot] ?? 0
  let sum = 0
  for (let at = slot; at < inflight.length; at += slots) sum += Atomics.load(inflight, at)
  return sum
}

/** Calls running at a slot as far as known: those of this process and of other gateways. */
export function loadOf(table: LoadTable, slot: number): number {
  return inflightOf(table, slot) + (table.peers[slot] ?? 0)
}

/**
 * Calls outstanding at a slot as far as known, for the choice among backends: those that its own report has beyond the known
 * ones are added. No whole number. They are not held against its limit, which is for the calls of gateways.
 */
export function outstandingOf(table: LoadTable, slot: number): number {
  return loadOf(table, slot) + (table.reports.beyond[slot] ?? 0)
}

/** False: the backend runs as many calls as it may. */
export function hasRoom(table: LoadTable, slot: number): boolean {
  const places = placesOf(table, slot)
  return places === Infinity || loadOf(table, slot) < places
}

/** How many more calls the backend may run; Infinity: as many as come. */
export function freeOf(table: LoadTable, slot: number): number {
  const places = placesOf(table, slot)
  return places === Infinity ? places : Math.max(0, places - loadOf(table, slot))
}

/** The limit, or the part of it that slow start allows, but at least one. */
export function placesOf({ limit, ramp }: LoadTable, slot: number): number {
  const most = limit[slot] ?? 0
  return most <= 0 ? Infinity : Math.max(1, Math.floor(most * (ramp[slot] ?? 1)))
}

/** Counts a call in, even without room; the result goes to `endCall`. */
export function beginCall(table: LoadTable, slot: number): number {
  const at = table.worker * table.slots + slot
  if (table.workers === 1) table.inflight[at] = (table.inflight[at] ?? 0) + 1
  else Atomics.add(table.inflight, at, 1)
  return table.incarnation[slot] ?? 0
}

/**
 * The same for a slot that had room before; 0: other workers have filled it in the meantime. The call is counted before the
 * check: of two workers that take the last place at once, at most one gets it.
 */
export function takePlace(table: LoadTable, slot: number): number {
  const incarnation = beginCall(table, slot)
  if (table.workers === 1 || loadOf(table, slot) <= placesOf(table, slot)) return incarnation
  Atomics.sub(table.inflight, table.worker * table.slots + slot, 1)
  return 0
}

/** Counts a call out. False: the slot has passed to another backend meanwhile, and nothing was counted. */
export function endCall(table: LoadTable, slot: number, incarnation: number): boolean {
  if (table.incarnation[slot] !== incarnation) return false
  const at = table.worker * table.slots + slot
  const running = table.inflight[at] ?? 0
  if (running <= 0) return true
  if (table.workers === 1) table.inflight[at] = running - 1
  else Atomics.sub(table.inflight, at, 1)
  return true
}

/** The control thread calls this after a worker has died: its calls ended with it. */
export function forgetWorker(table: LoadTable, worker: number): void {
  table.inflight.fill(0, worker * table.slots, (worker + 1) * table.slots)
  for (const row of [table.waiting, table.waitingMixed])
    row.fill(0, worker * table.slots, (worker + 1) * table.slots)
  const from = worker * table.slots * CLASSES
  table.queued.fill(0, from, from + table.slots * CLASSES)
  table.queuedWeight.fill(0, from, from + table.slots * CLASSES)
  forgetShares(table.shares, table.workers, worker)
}

/** A number for this registration of this backend, never 0. */
export function incarnationOf(id: string, generation: number): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < id.length; at++) hash = Math.imul(hash ^ id.charCodeAt(at), 0x01000193)
  hash = Math.imul(hash ^ generation, 0x01000193)
  hash ^= hash >>> 15
  return hash === 0 ? 1 : hash | 0
}

/** The column of a pool, the same for every worker; undefined: there have been more pools than columns. */
export function columnOf({ pools }: LoadTable, pool: string): number | undefined {
  const name = incarnationOf(pool, 0)
  for (let probe = 0; probe < pools.length; probe++) {
    const at = ((name >>> 0) + probe) % pools.length
    const holder = Atomics.compareExchange(pools, at, 0, name)
    if (holder === 0 || holder === name) return at
  }
  return undefined
}

/**
 * Gives a slot to a backend. The first thread clears what the last holder left; the others find that done. True: this call
 * was the first.
 */
export function claimSlot(table: LoadTable, slot: number, incarnation: number): boolean {
  if (Atomics.exchange(table.incarnation, slot, incarnation) === incarnation) return false
  for (let at = slot; at < table.inflight.length; at += table.slots) table.inflight[at] = 0
  table.peers[slot] = 0
  table.weight[slot] = 1
  table.share[slot] = 1
  table.ramp[slot] = 1
  table.handicap[slot] = 1
  table.limit[slot] = 0
  table.ewmaMs[slot] = 0
  table.ewmaAt[slot] = 0
  table.failing[slot] = 0
  table.failingAt[slot] = 0
  table.lapses[slot] = 0
  table.readyAt[slot] = -Infinity
  table.pausedUntil[slot] = 0
  forgetReport(table.reports, slot)
  Atomics.add(table.pauses, 0, 1)
  return true
}
