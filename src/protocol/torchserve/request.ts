/**
 * Request bodies of TorchServe, which are whatever the model's own code reads: JSON by what it says, forms by their parts,
 * all else by its bytes and its media type. There are no rows: a request is one row to TorchServe.
 */
import { type Call, header } from '../../core/call.ts'
import { Chunks } from '../../core/chunks.ts'
import { type Digest, digestOf, digestSteps } from '../../core/key.ts'
import { runToEnd } from '../../lib/cooperative.ts'
import { documentDigest, type JsonProblem } from '../json/document.ts'
import { streamDigest } from '../json/steps.ts'
import { Preimage } from '../preimage.ts'
import type { Bypass, Reading, ReadOptions } from '../protocol.ts'
import { boundaryOf, multipartSteps, NOT_STRICT } from './multipart.ts'

/** How a body is read. */
type Form =
  | { readonly kind: 'json' | 'raw'; readonly contentType: string | undefined }
  | { readonly kind: 'multipart'; readonly boundary: string }

export function readBody(call: Call, body: Uint8Array, { seed }: ReadOptions): Reading {
  const form = formOf(call)
  if ('bypass' in form) return form
  const preimage = begun(call, seed, form)
  if (form.kind === 'multipart')
    return planOf(runToEnd(multipartSteps(new Chunks([body]), form.boundary, preimage)))
  if (form.kind === 'json') return planOf(documentDigest(preimage.digest(), body))
  return planOf(preimage.latin1(digestOf(body)).digest())
}

export function* readBodyChunks(call: Call, body: Chunks, { seed }: ReadOptions): Generator<void, Reading> {
  const form = formOf(call)
  if ('bypass' in form) return form
  const preimage = begun(call, seed, form)
  if (form.kind === 'multipart') return planOf(yield* multipartSteps(body, form.boundary, preimage))
  if (form.kind === 'json') return planOf((yield* streamDigest(body.pieces(), preimage.digest())).digest)
  return planOf(preimage.latin1(yield* digestSteps(body.pieces())).digest())
}

/** By the media type alone, and in the case that TorchServe takes: it decodes `application/json` and nothing else. */
function formOf({ headers }: { readonly headers: Call['headers'] }): Form | Bypass {
  const encoding = header(headers, 'content-encoding')
  if (encoding !== undefined && encoding !== 'identity') return { bypass: 'content-encoding' }
  const contentType = header(headers, 'content-type')
  const type = contentType?.split(';', 1)[0]?.trim() ?? ''
  if (type.toLowerCase() === 'multipart/form-data') {
    const boundary = boundaryOf(contentType as string)
    return boundary === undefined ? NOT_STRICT : { kind: 'multipart', boundary }
  }
  return { kind: type === 'application/json' ? 'json' : 'raw', contentType }
}

/** A missing media type is not an empty one. */
function begun({ query }: Pick<Call, 'query'>, seed: Digest, form: Form): Preimage {
  const type = form.kind === 'multipart' || form.contentType === undefined ? '' : `=${form.contentType}`
  return new Preimage().latin1(seed).text('torchserve').text(form.kind).text(type).text(query)
}

function planOf(whole: Digest | JsonProblem | Bypass): Reading {
  if (typeof whole === 'string') return { whole }
  return 'problem' in whole ? { bypass: whole.problem } : whole
}
