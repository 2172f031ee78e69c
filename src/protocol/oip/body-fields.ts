/** The header fields that say how a body is written. */
import { header, type RawPairs } from '../../core/call.ts'

/** The field with the length of the JSON part of a body; binary tensors follow it. */
export const HEADER_LENGTH = 'inference-header-content-length'

/** How many bytes of a body are JSON; undefined if the field is no length within the body. */
export function jsonLength(headers: RawPairs, body: { readonly length: number }): number | undefined {
  const field = header(headers, HEADER_LENGTH)
  if (field === undefined) return body.length
  if (!/^\d{1,15}$/.test(field)) return undefined
  return Number(field) <= body.length ? Number(field) : undefined
}

/** Without the fields that say how a body is written, in any form of the protocol. */
export function withoutOwnFields(headers: RawPairs): string[] {
  return headers.filter((_, i) => !OWN_FIELDS.has((headers[i & ~1] as string).toLowerCase()))
}

const OWN_FIELDS = new Set([
  'content-type',
  'content-length',
  'transfer-encoding',
  HEADER_LENGTH,
  'grpc-encoding',
  'grpc-accept-encoding',
])
