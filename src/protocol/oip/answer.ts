/**
 * Reads and writes inference answers of the Open Inference Protocol. The server's own answer is stored, in the encoding it
 * came in. For each caller the answer gets the caller's `id`, and tensors that the caller wants in the other encoding are
 * converted between JSON and binary. So a caller with the same preferences as the first reads the server's own lexemes.
 */
import type { Reply } from '../../core/reply.ts'
import { Cursor } from '../json/scan.ts'
import { type Span } from '../json/span.ts'
import { canonicalString } from '../json/string.ts'
import { listed } from '../packed.ts'
import { jsonLength, withoutOwnFields } from './body-fields.ts'
import { smallInteger } from './number.ts'
import { printElements } from './print.ts'
import type { OutputPreferences } from './request.ts'
import { decodeJson, ELEMENT_BYTES, elementsOf, type TensorType, textOffsets } from './tensor.ts'

/** A member as it stands in the answer: `"key": value`. */
export interface AnswerMember {
  readonly key: string
  readonly text: Uint8Array
  readonly value: Uint8Array
}

export interface Output {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
  /** All members but `data` and `parameters`, in the server's order. */
  readonly members: readonly AnswerMember[]
  /** All parameters but `binary_data_size`. */
  readonly parameters: readonly AnswerMember[]
  /** The blob of a binary output, and that of any output of gRPC. */
  readonly blob?: Uint8Array
  /** `data` of a JSON output. */
  readonly data?: Span
  /** The output as it stands in a JSON answer. */
  readonly text?: Uint8Array
}

export interface OipAnswer {
  /** The body of JSON and blobs, or the message of gRPC. */
  readonly body: Uint8Array
  readonly members: readonly AnswerMember[]
  /** As a JSON text. */
  readonly id?: Uint8Array
  readonly outputs: readonly Output[]
  /** Present if it is an answer of gRPC. `isRaw`: its values are raw, and not typed. */
  readonly grpc?: { readonly isRaw: boolean }
}

interface Draft {
  name?: string
  datatype?: string
  shape?: number[]
  data?: Span
  /** How many values `data` has. */
  count?: number
  size?: number
  readonly members: AnswerMember[]
  readonly parameters: AnswerMember[]
  text?: Uint8Array
}

/** The answer in a reply of JSON, or of JSON and blobs; undefined if it is none. */
export function readJsonAnswer(reply: Reply, body: Uint8Array): OipAnswer | undefined {
  const jsonEnd = jsonLength(reply.headers, body)
  return jsonEnd === undefined ? undefined : new AnswerReader(body, jsonEnd).read()
}

class AnswerReader {
  readonly #body: Uint8Array
  readonly #cursor: Cursor
  readonly #members: AnswerMember[] = []
  #drafts: Draft[] | undefined
  #id: Uint8Array | undefined
  #isError = false

  constructor(body: Uint8Array, jsonEnd: number) {
    this.#body = body
    this.#cursor = new Cursor(body.subarray(0, jsonEnd))
  }

  read(): OipAnswer | undefined {
    const cursor = this.#cursor
    const read = this.#each((key) => {
      if (key === 'outputs') return this.#outputs()
      return this.#keep(key, (member) => {
        if (key === 'id') this.#id = member.value
        else this.#members.push(member)
        // Even with outputs beside it: they are then not a good answer.
        if (key === 'error' && !isNull(member.value)) this.#isError = true
      })
    })
    if (this.#isError || !read || !cursor.finish() || !this.#drafts) return undefined
    const outputs: Output[] = []
    let at = cursor.end
    for (const draft of this.#drafts) {
      const { name, datatype, shape, data, size, members, parameters, text } = draft
      if (name === undefined || datatype === undefined || !shape || !text) return undefined
      if ((data === undefined) === (size === undefined)) return undefined
      const blob = size === undefined ? undefined : this.#body.subarray(at, at + size)
      at += size ?? 0
      const isFull = blob ? fills(blob, { datatype, shape }) : draft.count === elementsOf(shape)
      if (!isFull) return undefined
      const values = blob ? { blob } : data ? { data } : {}
      outputs.push({ name, datatype, shape, members, parameters, text, ...values })
    }
    if (at !== this.#body.length || new Set(outputs.map((output) => output.name)).size < outputs.length)
      return undefined
    return { body: this.#body, members: this.#members, outputs, ...(this.#id ? { id: this.#id } : {}) }
  }

  #outputs(): boolean {
    const drafts: Draft[] = []
    this.#drafts = drafts
    return this.#cursor.elements(() => {
      const draft: Draft = { members: [], parameters: [] }
      drafts.push(draft)
      const start = this.#cursor.pos
      if (!this.#each((key) => this.#outputMember(key, draft))) return false
      draft.text = this.#body.subarray(start, this.#cursor.pos)
      return true
    })
  }

  #outputMember(key: string, draft: Draft): boolean {
    const cursor = this.#cursor
    if (key === 'parameters' && cursor.peek() === 0x7b) {
      return this.#each((name) => {
        return this.#keep(name, (member, span) => {
          if (name !== 'binary_data_size') draft.parameters.push(member)
          else draft.size = smallInteger(this.#body, span.start, span.end) ?? -1
        })
      })
    }
    if (key === 'data') {
      const data = cursor.value()
      if (!data) return false
      draft.data = data
      draft.count = isHollow(this.#body, data) ? 0 : cursor.commas + 1
      return true
    }
    const start = (cursor.peek(), cursor.pos)
    if (key === 'shape') {
      const shape: number[] = []
      draft.shape = shape
      const read = cursor.elements(() => {
        const size = cursor.value()
        const value = size && smallInteger(this.#body, size.start, size.end)
        return value !== undefined && value >= 0 && shape.push(value) > 0
      })
      if (!read) return false
      draft.members.push(memberOf(key, this.#body.subarray(start, cursor.pos)))
      return true
    }
    return this.#keep(key, (member) => {
      draft.members.push(member)
      if (key === 'name') draft.name = textOf(member.value)
      if (key === 'datatype') draft.datatype = textOf(member.value)
    })
  }

  #each(visit: (key: string) => boolean): boolean {
    return this.#cursor.members(visit)
  }

  #keep(key: string, take: (member: AnswerMember, span: Span) => void): boolean {
    const span = this.#cursor.value()
    if (span) take(memberOf(key, this.#body.subarray(span.start, span.end)), span)
    return span !== undefined
  }
}

const SPACE = 0x20

/** Whether `data` has brackets only, and no values. */
function isHollow(body: Uint8Array, { start, end }: Span): boolean {
  for (let i = start; i < end; i++) {
    const c = body[i] as number
    if (c > SPACE && c !== 0x5b && c !== 0x5d && c !== 0x2c) return false
  }
  return true
}

/** Whether a blob has as many values as its shape says; true for an unknown datatype. */
export function fills(blob: Uint8Array, { datatype, shape }: TensorType): boolean {
  const count = elementsOf(shape)
  if (count === undefined) return false
  if (datatype === 'BYTES') return textOffsets(blob, count) !== undefined
  const size = ELEMENT_BYTES.get(datatype)
  return size === undefined || blob.length === count * size
}

function isNull(value: Uint8Array): boolean {
  return value.length === 4 && value[0] === 0x6e
}

function memberOf(key: string, value: Uint8Array): AnswerMember {
  return { key, value, text: Buffer.concat([Buffer.from(`"${key}":`, 'latin1'), value]) }
}

function textOf(value: Uint8Array): string {
  return canonicalString(value.subarray(1, -1)).toString('latin1')
}

/** Whether the caller wants this output as a blob. The request's own parameter applies to outputs that it does not list. */
export function wantsBinary(preferences: OutputPreferences, name: string): boolean {
  return preferences.listed.get(name) ?? preferences.binary
}

/** Whether each output has the encoding that the caller wants. */
function isAsPreferred(answer: OipAnswer, preferences: OutputPreferences): boolean {
  return answer.outputs.every((output) => isEmpty(output) || fits(output, preferences))
}

/**
 * The reply in this caller's encoding and with its id; undefined if a value cannot be written in that encoding.
 * `isServerForm`: the server answers this caller's form in this encoding, so nothing is converted.
 */
export function addressed(
  reply: Reply,
  answer: OipAnswer,
  preferences: OutputPreferences,
  isServerForm: boolean,
): Reply | undefined {
  const isFitting = !answer.grpc && (isServerForm || isAsPreferred(answer, preferences))
  const hasId =
    preferences.id && answer.id
      ? Buffer.compare(preferences.id, answer.id) === 0
      : preferences.id === answer.id
  if (isFitting && hasId) return reply
  const texts: Uint8Array[] = []
  const blobs: Uint8Array[] = []
  for (const output of answer.outputs) {
    const isKept = isServerForm || fits(output, preferences)
    const converted = (isKept && asWritten(output)) || convert(answer.body, output, preferences)
    if (!converted) return undefined
    texts.push(converted.text)
    if (converted.blob) blobs.push(converted.blob)
  }
  return writeAnswer(reply, { members: answer.members, texts, blobs, id: preferences.id })
}

function fits(output: Output, preferences: OutputPreferences): boolean {
  return wantsBinary(preferences, output.name) === (output.blob !== undefined)
}

/** Triton writes an output without elements as JSON, whatever the caller wants. */
function isEmpty(output: Output): boolean {
  return output.shape.includes(0)
}

interface Encoded {
  readonly text: Uint8Array
  readonly blob?: Uint8Array
}

/** An output of JSON as it stands. */
function asWritten({ text, blob }: Output): Encoded | undefined {
  return text && (blob ? { text, blob } : { text })
}

/** An output in the encoding that the caller wants, from the other one or from gRPC. */
function convert(body: Uint8Array, output: Output, preferences: OutputPreferences): Encoded | undefined {
  const blob = output.blob ?? (output.data && decodeJson(body, output.data, output)?.values)
  if (!blob) return undefined
  if (wantsBinary(preferences, output.name)) return encodeBinary(output, blob)
  const elements = printElements(blob, output.datatype)
  return elements === undefined ? undefined : encodeJson(output, Buffer.from(elements))
}

/** An output without its values, each member as text. */
interface Around {
  readonly members: readonly { readonly text: Uint8Array }[]
  readonly parameters: readonly { readonly text: Uint8Array }[]
}

/** An output's JSON text, its data given as elements separated by commas. */
export function encodeJson(output: Around, elements: Uint8Array): Encoded {
  const members = textsOf(output.members)
  const parameters = textsOf(output.parameters)
  if (parameters.length > 0) members.push(object('"parameters":', parameters))
  members.push(Buffer.concat([Buffer.from('"data":['), elements, Buffer.from(']')]))
  return { text: object('', members) }
}

/** An output's JSON text and blob. */
export function encodeBinary(output: Around, blob: Uint8Array): Encoded {
  const size = Buffer.from(`"binary_data_size":${blob.length}`)
  const parameters = object('"parameters":', [...textsOf(output.parameters), size])
  // Some servers write `"parameters": null`, which must not stand beside ours.
  const members = textsOf(output.members).filter((member) => !isParameters(member))
  return { text: object('', [...members, parameters]), blob }
}

const PARAMETERS = Buffer.from('"parameters":')

function isParameters(member: Uint8Array): boolean {
  return Buffer.compare(member.subarray(0, PARAMETERS.length), PARAMETERS) === 0
}

/** The texts that are JSON; the others are fields of gRPC that it has no place for. */
function textsOf(members: readonly { readonly text: Uint8Array }[]): Uint8Array[] {
  return members.map(({ text }) => text).filter((text) => text[0] !== 0)
}

function object(before: string, members: readonly Uint8Array[]): Buffer {
  return Buffer.concat([Buffer.from(`${before}{`), listed(members), Buffer.from('}')])
}

export interface AnswerParts {
  readonly members: readonly { readonly text: Uint8Array }[]
  /** The outputs' JSON texts. */
  readonly texts: readonly Uint8Array[]
  readonly blobs: readonly Uint8Array[]
  readonly id: Uint8Array | undefined
}

/** Writes an answer from its parts, with the headers of `reply`. */
export function writeAnswer(reply: Pick<Reply, 'status' | 'headers'>, parts: AnswerParts): Reply {
  const members = textsOf(parts.members)
  if (parts.id) members.unshift(Buffer.concat([Buffer.from('"id":'), parts.id]))
  members.push(Buffer.concat([Buffer.from('"outputs":['), listed(parts.texts), Buffer.from(']')]))
  const json = object('', members)
  const isBinary = parts.blobs.some((blob) => blob.length > 0)
  const body = isBinary ? Buffer.concat([json, ...parts.blobs]) : json
  const headers = withoutOwnFields(reply.headers)
  headers.push('content-type', isBinary ? 'application/octet-stream' : 'application/json')
  if (isBinary) headers.push('inference-header-content-length', String(json.length))
  headers.push('content-length', String(body.length))
  return { status: reply.status, headers, body }
}
