/**
 * Chooses the pool of a call whose route is split over several. It is chosen for the whole call, by the canonical key of what it
 * asks, under a seed without epochs and deployments: equal inputs go to one pool whoever writes them and however, over any worker
 * and gateway, before and after a purge or a deployment.
 */
import { type Call, isWhole } from '../../core/call.ts'
import { Chunks } from '../../core/chunks.ts'
import { type Digest, digestOf, digestSteps } from '../../core/key.ts'
import { cooperatively } from '../../lib/cooperative.ts'
import { type Awaitable, after } from '../../lib/deferred.ts'
import { lastOf } from '../../lib/memo.ts'
import type { ReadOptions } from '../../protocol/protocol.ts'
import type { PoolChoice } from './pool-weights.ts'
import type { Matched, SplitMatched } from './routes.ts'

/** The match of a call whose pool is known. */
export interface Chosen {
  readonly matched: Matched
  /** Undefined: the next equal call may go to another pool. */
  readonly choice: PoolChoice | undefined
}

/** Rejects with the reason of the call's signal, where a long body was read. */
export function choosePool(
  call: Call,
  split: SplitMatched,
  random: () => number,
): Chosen | Awaitable<Chosen> {
  const { weights } = split.route.split
  const { body } = call
  if (weights.sticky === 'caller') return chosenFor(split, callerPoint(split, call.principal))
  // What streams is not read.
  if (weights.sticky === 'none' || !isWhole(body))
    return { matched: inPool(split, weights.draw(random)), choice: undefined }
  if (!(body instanceof Chunks)) return chosenFor(split, inputPoint(call, split, body))
  const reading = cooperatively(inputPointSteps(call, split, body), call.signal)
  return after(reading, (point) => chosenFor(split, point))
}

/** The match in each of the pools that the call may go to. */
export function inEachPool(matched: Matched): readonly Matched[] {
  return isSplit(matched) ? matched.route.split.routes.map((_, at) => inPool(matched, at)) : [matched]
}

export function isSplit(matched: Matched): matched is SplitMatched {
  return matched.route.split !== undefined
}

function chosenFor(split: SplitMatched, point: Digest): Chosen {
  const choice = split.route.split.weights.choose(point)
  return { matched: inPool(split, choice.at), choice }
}

/** The same object for the same match and pool: what was decided for it is found by it. */
function inPool(split: SplitMatched, at: number): Matched {
  let known = IN_POOLS.get(split)
  if (!known) {
    const { protocol, target } = split
    known = split.route.split.routes.map((route) => ({ route, protocol, target }))
    IN_POOLS.set(split, known)
  }
  return known[at] as Matched
}

const IN_POOLS = new WeakMap<Matched, readonly Matched[]>()

/** All callers without credentials are one. */
function callerPoint({ route }: SplitMatched, principal: string): Digest {
  return digestOf(`caller ${route.name.length}:${route.name}${principal}`)
}

function inputPoint(call: Call, split: SplitMatched, body: Uint8Array): Digest {
  const reading = isRead(split) ? split.protocol.read(call, body, optionsOf(split)) : undefined
  return reading && 'whole' in reading ? reading.whole : bytesPoint(call, split, digestOf(body))
}

function* inputPointSteps(call: Call, split: SplitMatched, body: Chunks): Generator<void, Digest> {
  const reading = isRead(split) ? yield* split.protocol.readChunks(call, body, optionsOf(split)) : undefined
  if (reading && 'whole' in reading) return reading.whole
  return bytesPoint(call, split, yield* digestSteps(body.pieces()))
}

/** Whether the dialect knows what the body says. */
function isRead({ target }: Matched): boolean {
  return target.prediction || target.isKeepable === true
}

/** Of any method: a HEAD goes where its GET goes. */
function bytesPoint({ path, query }: Call, split: SplitMatched, body: Digest): Digest {
  return digestOf(`${seedOf(split)}${path.length}:${path}${query.length}:${query}${body}`)
}

function optionsOf(split: SplitMatched): ReadOptions {
  return { seed: seedOf(split), split: false, keepsSampled: true }
}

/** Neither dialect nor transport: what was asked in JSON goes where it goes over gRPC. */
const seedOf = lastOf(({ route: { name }, target: { model = '', version = '' } }: SplitMatched): Digest => {
  const parts = [name, model, version].map((part) => `${part.length}:${part}`)
  return digestOf(`split ${parts.join('')}`)
})
