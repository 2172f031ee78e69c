/**
 * Nodes, the first of two steps to a stored answer. Under the digest of a URL lies its node: which request fields select
 * between the answers (Vary), and a generation. The digest of one answer covers node, fields and caller. So a change of the
 * resource, whoever makes it, makes all its answers unreachable at once: a node with another generation replaces the old.
 */
import { randomUUID } from 'node:crypto'
import { header, type RawPairs } from '../../core/call.ts'
import type { Digest } from '../../core/key.ts'
import { Preimage } from '../../protocol/preimage.ts'
import type { Entry } from '../cache/entry.ts'
import { selection } from './vary.ts'

export interface UrlNode {
  readonly generation: string
  /** Wall milliseconds of the last known write; 0: none. */
  readonly writtenAt: number
  /** Lower case, in order. */
  readonly names: readonly string[]
}

export function newNode(names: readonly string[], writtenAt = 0): UrlNode {
  return { generation: randomUUID(), writtenAt, names }
}

/** `seed`: that of the same call without credentials and fields. */
export function urlDigest(seed: Digest): Digest {
  return new Preimage().latin1(seed).text('http url').digest()
}

/** The digest of the requested answer, whatever is known of its URL: by it calls are spread over backends. */
export function requestDigest(request: VariantRequest): Digest {
  return answerDigest(request, { generation: '', names: [] })
}

/** The node as an entry under the URL's digest. Tiers store it as any other; it is never given to a caller. */
export function nodeEntry(digest: Digest, { generation, writtenAt, names }: UrlNode, life: Lived): Entry {
  const fields = ['generation', generation, 'written-at', String(writtenAt), 'names', names.join(',')]
  return { digest, kind: 'reply', status: 204, headers: fields, body: NOTHING, ...life, ...PLAIN }
}

type Lived = Pick<Entry, 'createdAt' | 'ttlMs' | 'costMs'>

const NOTHING = new Uint8Array(0)
const PLAIN = { swrMs: 0, sieMs: 0, version: '', negative: false }

export function readNode(entry: Entry | undefined): UrlNode | undefined {
  if (!entry) return undefined
  const generation = header(entry.headers, 'generation')
  const names = header(entry.headers, 'names')
  if (generation === undefined || names === undefined) return undefined
  const writtenAt = Number(header(entry.headers, 'written-at') ?? 0)
  return { generation, writtenAt, names: names === '' ? [] : names.split(',') }
}

/** A request as its variants' keys need it: all that is the same for each answer of a URL. */
export interface VariantRequest {
  readonly url: Digest
  /** The seed of the call's own head: its caller, and the fields that the route's `vary` names. */
  readonly seed: Digest
  readonly headers: RawPairs
  /** The digest of the body. */
  readonly sent: Digest
}

/** The part of a node that an answer's digest covers. */
type Named = Pick<UrlNode, 'generation' | 'names'>

export function answerDigest(
  { url, seed, headers, sent }: VariantRequest,
  { generation, names }: Named,
): Digest {
  const preimage = new Preimage().latin1(url).latin1(seed).text(generation)
  preimage.text(header(headers, 'content-encoding') ?? '').latin1(sent)
  for (const [i, value] of selection(names, headers).entries()) preimage.text(names[i] as string).text(value)
  return preimage.digest()
}
