/** The keys of requests, which are the same whatever form a request came in. */
import { type Digest } from '../../core/key.ts'
import { byBytes } from '../json/document.ts'
import { Preimage } from '../preimage.ts'
import type { InferenceRequest, TensorInput } from './request.ts'

/**
 * A digest of everything that an answer depends on besides the inputs. Lists keep their order: servers answer outputs in the
 * order of the request, and clients read `outputs[0]`.
 */
export function commonPart(
  seed: Digest,
  query: string,
  { rest, preferences, outputs }: Pick<InferenceRequest, 'rest' | 'preferences' | 'outputs'>,
): Digest {
  const preimage = new Preimage().latin1(seed).text('oip').text(query)
  putAll(preimage, rest)
  preimage.text(preferences.hasList ? 'some' : 'all').number(outputs.size)
  for (const [name, rest] of outputs) putAll(preimage.latin1(name), rest)
  return preimage.digest()
}

/** The key of the whole call. The order of the inputs counts: MLServer reads them as columns, many KServe models read `inputs[0]`. */
export function wholeKey(common: Digest, inputs: readonly TensorInput[]): Digest {
  const preimage = new Preimage().latin1(common).text('whole').number(inputs.length)
  for (const input of inputs) {
    preimage.latin1(input.name).latin1(input.datatype).text(input.shape.join())
    if (input.values !== undefined) preimage.text(input.nested ? 'nested' : 'values').latin1(input.values)
    else preimage.text('as written').latin1(input.asWritten as Digest)
    putAll(preimage, input.rest)
  }
  return preimage.digest()
}

/** Canonical keys and digests, in order. */
export function putAll(preimage: Preimage, rest: ReadonlyMap<string, Digest>): void {
  preimage.number(rest.size)
  for (const key of [...rest.keys()].sort(byBytes)) preimage.latin1(key).latin1(rest.get(key) as Digest)
}
