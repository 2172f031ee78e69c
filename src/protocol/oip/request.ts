/**
 * Reads inference requests of the Open Inference Protocol from JSON, or from JSON and binary blobs (Triton's
 * binary tensor extension): what the answer depends on, and how the caller wants it written.
 */
import { type Digest, digestOf } from '../../core/key.ts'
import { OPEN_ARRAY, OPEN_OBJECT, QUOTE } from '../json/bytes.ts'
import { valueDigest } from '../json/document.ts'
import { Cursor } from '../json/scan.ts'
import { type Span, type Stretch } from '../json/span.ts'
import { canonicalString } from '../json/string.ts'
import type { Bypass } from '../protocol.ts'
import { smallInteger } from './number.ts'
import { decodeBlob, decodeJson, type EncodedTensor, type TensorType } from './tensor.ts'

/** How the caller wants its answer: the encoding of each output, and the `id`. */
export interface OutputPreferences {
  /** The `id` as the caller spelled it, quotes included. */
  readonly id?: Uint8Array
  /** Names the request lists under `outputs`, with their `binary_data`. */
  readonly listed: ReadonlyMap<string, boolean>
  readonly hasList: boolean
  /** The encoding of outputs that are not listed. */
  readonly binary: boolean
}

/** What a key knows of an input, besides its values. */
export interface NamedInput extends TensorType {
  readonly name: string
  /** Canonical keys and digests of all other members and parameters. */
  readonly rest: ReadonlyMap<string, Digest>
}

/** An input whose values have not been read yet. */
export interface LocatedInput extends NamedInput {
  /** Place of the values: of the `data` member's value in the JSON, or of the blob in the body. */
  readonly place: Stretch
  readonly shapeAt: Span
  /** Present if the values are a blob. */
  readonly sizeAt?: Span
  /** Present if the values are JSON. */
  readonly data?: Span
}

/** The part of an input's values that goes into a key. */
export interface InputContent {
  /** Digest of the tensor as bytes; undefined: `data` is no tensor of this type, and is keyed as written. */
  readonly values?: Digest
  /** `data` has brackets of its own for each row: many a model of MLServer takes such a row for a list, and answers otherwise. */
  readonly nested?: boolean
  /** Digest of `data` as JSON, if it is no tensor. */
  readonly asWritten?: Digest
  /** The tensor itself, if it is in memory. */
  readonly tensor?: EncodedTensor
}

export type Input = LocatedInput & InputContent

/** An input in any form of the protocol. */
export type TensorInput = NamedInput & InputContent

/** A request in any form of the protocol; `I` is what is known of its inputs. */
export interface InferenceRequest<I = TensorInput> {
  readonly inputs: readonly I[]
  /** Requested outputs by name, each with the digests of its significant parameters. */
  readonly outputs: ReadonlyMap<string, ReadonlyMap<string, Digest>>
  /** Request-level members and parameters that the answer may depend on. */
  readonly rest: ReadonlyMap<string, Digest>
  readonly preferences: OutputPreferences
}

/** A request in JSON, or in JSON and blobs. */
export interface OipRequest<I = Input> extends InferenceRequest<I> {
  readonly jsonEnd: number
}

/** Why no answer may be stored to a request with a parameter of that name; undefined: nothing forbids it. */
export function forbidding(name: string): string | undefined {
  if (name === 'sequence_start' || name === 'sequence_end') return 'sequence'
  if (name.startsWith('triton_')) return 'reserved-parameter'
  return name.startsWith('shared_memory_') ? 'shared-memory' : undefined
}

interface Draft {
  name?: string
  datatype?: string
  shape?: number[]
  shapeAt?: Span
  data?: Span
  blob?: number
  sizeAt?: Span
  readonly rest: Map<string, Digest>
}

/** The reason why a request must not be cached; caught by the functions that read requests. */
export class Uncacheable extends Error {
  readonly reason: string
  constructor(reason: string) {
    super(reason)
    this.reason = reason
  }
}

/** The prefix of a parameter's name; canonical keys have no raw control bytes, so no member can be confused with a parameter. */
export const PARAMETER = '\0'

/** Reads the request in a body whose first `jsonEnd` bytes are JSON, or why it must not be cached. */
export function readRequest(body: Uint8Array, jsonEnd: number, rows: boolean): OipRequest | Bypass {
  const outline = readOutline(body.subarray(0, jsonEnd), { jsonEnd, end: body.length })
  if ('bypass' in outline) return outline
  const inputs: Input[] = []
  for (const placed of outline.inputs) {
    const content = contentOf(body, placed, rows)
    if ('bypass' in content) return content
    inputs.push({ ...placed, ...content })
  }
  return { ...outline, inputs }
}

/** Reads a request without its inputs' values. `json` may lack long arrays; `jsonEnd` and `end` are those of the body. */
export function readOutline(
  json: Uint8Array,
  bounds: { readonly jsonEnd: number; readonly end: number },
): OipRequest<LocatedInput> | Bypass {
  const cursor = new Cursor(json)
  try {
    return new RequestReader(cursor, json, bounds).read()
  } catch (error) {
    if (error instanceof Uncacheable) return { bypass: cursor.problem ?? error.reason }
    throw error
  }
}

/** Reads the values of an input in `body`. */
export function contentOf(body: Uint8Array, input: LocatedInput, rows: boolean): InputContent | Bypass {
  const { data, place } = input
  if (!data) {
    const tensor = decodeBlob(body.subarray(place.start, place.end), input, rows)
    return tensor ? { tensor, values: digestOf(tensor.values) } : { bypass: 'blob-size' }
  }
  const isArray = body[data.start] === OPEN_ARRAY
  const tensor = isArray ? decodeJson(body, data, { ...input, rows }) : undefined
  if (tensor) return { tensor, values: digestOf(tensor.values), nested: tensor.nested }
  const asWritten = valueDigest(body, data)
  return typeof asWritten === 'string' ? { asWritten } : { bypass: asWritten.problem }
}

class RequestReader {
  readonly #cursor: Cursor
  readonly #json: Uint8Array
  readonly #bounds: { readonly jsonEnd: number; readonly end: number }
  readonly #rest = new Map<string, Digest>()
  readonly #drafts: Draft[] = []
  readonly #outputs = new Map<string, ReadonlyMap<string, Digest>>()
  readonly #listed = new Map<string, boolean>()
  #hasList = false
  /** An output is listed without `binary_data`. */
  #isEncodingUnstated = false
  #binary = false
  #id: Uint8Array | undefined

  constructor(cursor: Cursor, json: Uint8Array, bounds: { readonly jsonEnd: number; readonly end: number }) {
    this.#cursor = cursor
    this.#json = json
    this.#bounds = bounds
  }

  read(): OipRequest<LocatedInput> {
    this.#members((key) => this.#member(key))
    if (!this.#cursor.finish()) throw new Uncacheable('unparsable')
    if (this.#drafts.length === 0) throw new Uncacheable('no-inputs')
    const id = this.#id
    const { jsonEnd, end } = this.#bounds
    const blobs = { at: jsonEnd, end }
    const names = new Set(this.#drafts.map((draft) => draft.name))
    if (names.size < this.#drafts.length) throw new Uncacheable('duplicate-input')
    // By the extension's specification such an output is a blob, and some servers follow it; Triton and KServe write JSON.
    if (this.#isEncodingUnstated && this.#binary) throw new Uncacheable('ambiguous-encoding')
    const inputs = this.#drafts.map((draft) => placed(draft, blobs))
    if (blobs.at !== end) throw new Uncacheable('blob-size')
    return {
      inputs,
      outputs: this.#outputs,
      rest: this.#rest,
      preferences: {
        listed: this.#listed,
        hasList: this.#hasList,
        binary: this.#binary,
        ...(id ? { id } : {}),
      },
      jsonEnd,
    }
  }

  #member(key: string): void {
    const next = this.#cursor.peek()
    if (key === 'id') this.#id = this.#raw(this.#need(next === QUOTE, 'bad-id'))
    else if (key === 'parameters' && next === OPEN_OBJECT) this.#members((name) => this.#parameter(name))
    else if (key === 'inputs') this.#each(() => this.#drafts.push(this.#draft()))
    else if (key === 'outputs') {
      this.#hasList = true
      this.#each(() => this.#output())
    } else this.#rest.set(key, this.#digest())
  }

  #parameter(name: string): void {
    const reason = forbidding(name)
    if (reason !== undefined) throw new Uncacheable(reason)
    if (name === 'binary_data_output') this.#binary = this.#flag()
    else if (name === 'sequence_id') {
      const text = Buffer.from(this.#raw(this.#span())).toString('latin1')
      if (text !== '0' && text !== '""') throw new Uncacheable('sequence')
    } else this.#rest.set(`${PARAMETER}${name}`, this.#digest())
  }

  #draft(): Draft {
    const draft: Draft = { rest: new Map() }
    this.#members((key) => {
      if (key === 'name') draft.name = this.#text()
      else if (key === 'datatype') draft.datatype = this.#text()
      else if (key === 'shape') {
        const shape: number[] = []
        const start = (this.#cursor.peek(), this.#cursor.pos)
        this.#each(() => shape.push(this.#size()))
        draft.shapeAt = this.#cursor.span(start)
        draft.shape = shape
      } else if (key === 'data') draft.data = this.#span()
      else if (key === 'parameters' && this.#cursor.peek() === OPEN_OBJECT) {
        this.#members((name) => this.#inputParameter(name, draft))
      } else draft.rest.set(key, this.#digest())
    })
    return draft
  }

  #inputParameter(name: string, draft: Draft): void {
    if (name.startsWith('shared_memory_')) throw new Uncacheable('shared-memory')
    if (name === 'binary_data_size') {
      const start = (this.#cursor.peek(), this.#cursor.pos)
      draft.blob = this.#size()
      draft.sizeAt = this.#cursor.span(start)
    } else draft.rest.set(`${PARAMETER}${name}`, this.#digest())
  }

  #output(): void {
    let name: string | undefined
    let binary: boolean | undefined
    const rest = new Map<string, Digest>()
    this.#members((key) => {
      if (key === 'name') name = this.#text()
      else if (key === 'parameters' && this.#cursor.peek() === OPEN_OBJECT) {
        this.#members((parameter) => {
          if (parameter.startsWith('shared_memory_')) throw new Uncacheable('shared-memory')
          if (parameter === 'binary_data') binary = this.#flag()
          else rest.set(`${PARAMETER}${parameter}`, this.#digest())
        })
      } else rest.set(key, this.#digest())
    })
    if (name === undefined) throw new Uncacheable('malformed-output')
    if (this.#outputs.has(name)) throw new Uncacheable('duplicate-output')
    this.#outputs.set(name, rest)
    this.#isEncodingUnstated ||= binary === undefined
    this.#listed.set(name, binary ?? false)
  }

  #members(visit: (key: string) => void): void {
    const read = this.#cursor.members((key) => {
      visit(key)
      return true
    })
    if (!read) throw new Uncacheable('unparsable')
  }

  #each(visit: () => void): void {
    const read = this.#cursor.elements(() => {
      visit()
      return true
    })
    if (!read) throw new Uncacheable('unparsable')
  }

  #need(holds: boolean, reason: string): Span {
    if (!holds) throw new Uncacheable(reason)
    return this.#span()
  }

  #span(): Span {
    const span = this.#cursor.value()
    if (!span) throw new Uncacheable('unparsable')
    return span
  }

  #raw(span: Span): Uint8Array {
    return this.#json.subarray(span.start, span.end)
  }

  #digest(): Digest {
    return this.#digestOf(this.#span())
  }

  #digestOf(span: Span): Digest {
    const digest = valueDigest(this.#json, span)
    if (typeof digest !== 'string') throw new Uncacheable(digest.problem)
    return digest
  }

  /** A string's canonical spelling, one latin1 character a byte. */
  #text(): string {
    const span = this.#need(this.#cursor.peek() === QUOTE, 'malformed-tensor')
    return canonicalString(this.#json.subarray(span.start + 1, span.end - 1)).toString('latin1')
  }

  #flag(): boolean {
    const text = Buffer.from(this.#raw(this.#span())).toString('latin1')
    if (text !== 'true' && text !== 'false') throw new Uncacheable('malformed-parameter')
    return text === 'true'
  }

  /** A size in a shape, or of a blob. */
  #size(): number {
    const span = this.#span()
    const value = smallInteger(this.#json, span.start, span.end)
    if (value === undefined || value < 0 || Object.is(value, -0)) throw new Uncacheable('malformed-shape')
    return value
  }
}

/** The input of a complete draft; moves `blobs.at` behind its blob. */
function placed(draft: Draft, blobs: { at: number; readonly end: number }): LocatedInput {
  const { name, datatype, shape, shapeAt, data, blob, sizeAt, rest } = draft
  if (name === undefined || datatype === undefined || shape === undefined || shapeAt === undefined)
    throw new Uncacheable('malformed-input')
  const input = { name, datatype, shape, shapeAt, rest }
  if (blob !== undefined && sizeAt !== undefined) {
    const place = { start: blobs.at, end: blobs.at + blob }
    blobs.at = place.end
    if (data !== undefined || place.end > blobs.end) throw new Uncacheable('blob-size')
    return { ...input, place, sizeAt }
  }
  if (!data) throw new Uncacheable('malformed-input')
  return { ...input, place: data, data }
}
