/**
 * The forms of requests and wanted answers of the Open Inference Protocol, as bits, and the forms that a server's metadata
 * declare.
 */
import type { OipAnswer } from './answer.ts'
import { hasContents } from './grpc/contents.ts'
import type { OipRequest } from './request.ts'

const TAKES_JSON = 1
const TAKES_BLOBS = 2
const GIVES_JSON = 4
const GIVES_BLOBS = 8
const TAKES_RAW = 16
const TAKES_TYPED = 32
const GIVES_RAW = 64
const GIVES_TYPED = 128

export const JSON_FORM = TAKES_JSON | GIVES_JSON
export const BLOB_FORM = TAKES_BLOBS | GIVES_BLOBS
/**
 * Of a gRPC call with raw, and with typed values. How the answer has them is not the caller's choice: Triton's always has raw
 * ones, others answer as they are asked. `givesRaw` tells it from what the server has shown.
 */
export const RAW_FORM = TAKES_RAW
export const TYPED_FORM = TAKES_TYPED

export function formOf({ inputs, preferences }: OipRequest): number {
  const { listed, binary } = preferences
  let form = 0
  for (const { data } of inputs) form |= data ? TAKES_JSON : TAKES_BLOBS
  if (listed.size === 0) return form | (binary ? GIVES_BLOBS : GIVES_JSON)
  for (const isBlob of listed.values()) form |= isBlob ? GIVES_BLOBS : GIVES_JSON
  return form
}

/** The bits of a form that an answer proves: what the server accepted in the request, and gave in the answer. */
export function formShown(form: number, { outputs, grpc }: OipAnswer): number {
  if (grpc) {
    const takes = form & (TAKES_RAW | TAKES_TYPED)
    // Without a typed form of its outputs, or without outputs, an answer does not tell which the server prefers.
    const isFree = outputs.length > 0 && outputs.every(({ datatype }) => hasContents(datatype))
    if (!isFree && takes === TAKES_TYPED) return 0
    return takes | (grpc.isRaw ? GIVES_RAW : GIVES_TYPED)
  }
  let shown = form & (TAKES_JSON | TAKES_BLOBS)
  for (const { blob } of outputs) shown |= blob ? GIVES_BLOBS : GIVES_JSON
  return shown
}

/**
 * Whether the server answers a gRPC call with raw values, where it has shown these bits. `isRaw`: the call has raw ones. With each
 * bit of what it takes came one of what it gives, so a server that has shown one alone answers every call so.
 */
export function givesRaw(isRaw: boolean, shown: number): boolean {
  const gives = shown & (GIVES_RAW | GIVES_TYPED)
  return gives === GIVES_RAW || (gives !== GIVES_TYPED && isRaw)
}

/** Whether all outputs are wanted as JSON, or all as blobs, so that the form alone says which. */
export function isUniform(form: number | undefined): boolean {
  return form !== undefined && (form & (GIVES_JSON | GIVES_BLOBS)) !== (GIVES_JSON | GIVES_BLOBS)
}

/** The form that an answer to `GET /v2/models/M` proves: the model is served over HTTP, in JSON. 0: it is no such answer. */
export function formOfModel(metadata: string): number {
  return typeof read(metadata)['name'] === 'string' ? JSON_FORM : 0
}

/** The form that `GET /v2` declares for all models, by `binary_tensor_data` among the extensions. */
export function formOfServer(metadata: string): number {
  const { extensions } = read(metadata)
  return Array.isArray(extensions) && extensions.includes('binary_tensor_data') ? BLOB_FORM : 0
}

function read(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}
