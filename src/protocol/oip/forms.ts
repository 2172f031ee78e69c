/**
 * In which forms a request of the Open Inference Protocol is written and its answer wanted, as bits; and what a server's
 * metadata say of it.
 */
import type { OipRequest } from './request.ts'

const TAKES_JSON = 1
const TAKES_BLOBS = 2
const GIVES_JSON = 4
const GIVES_BLOBS = 8

export const JSON_FORM = TAKES_JSON | GIVES_JSON
export const BLOB_FORM = TAKES_BLOBS | GIVES_BLOBS

export function formOf({ inputs, preferences }: OipRequest): number {
  const { listed, binary } = preferences
  let form = 0
  for (const { data } of inputs) form |= data ? TAKES_JSON : TAKES_BLOBS
  if (listed.size === 0) return form | (binary ? GIVES_BLOBS : GIVES_JSON)
  for (const isBlob of listed.values()) form |= isBlob ? GIVES_BLOBS : GIVES_JSON
  return form
}

/** What a server has taken in a call of this form, and given in the answer to it. */
export function formShown(form: number, outputs: readonly { readonly blob?: Uint8Array }[]): number {
  let shown = form & (TAKES_JSON | TAKES_BLOBS)
  for (const { blob } of outputs) shown |= blob ? GIVES_BLOBS : GIVES_JSON
  return shown
}

/** Outputs are wanted all as JSON or all as blobs: then the form alone says how. */
export function isUniform(form: number | undefined): boolean {
  return form !== undefined && (form & (GIVES_JSON | GIVES_BLOBS)) !== (GIVES_JSON | GIVES_BLOBS)
}

/** What `GET /v2/models/M` says by answering: the model is served over HTTP, in JSON. 0: it is no such answer. */
export function formOfModel(metadata: string): number {
  return typeof read(metadata)['name'] === 'string' ? JSON_FORM : 0
}

/** What `GET /v2` says of all models: `binary_tensor_data` among the extensions. */
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
