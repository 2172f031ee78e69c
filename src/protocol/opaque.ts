/**
 * Any HTTP at all, for routes whose dialect is not known: nothing is read into the body. Method, raw target and
 * body bytes are the key, where the route says that answers may be kept at all.
 */
import { type Call, header, type Target } from '../core/call.ts'
import { type Digest, digestOf, digestSteps } from '../core/key.ts'
import { Preimage } from './preimage.ts'
import { problem } from './problem.ts'
import type { Protocol } from './protocol.ts'
import { managedModel } from './torchserve/target.ts'

export const opaque: Protocol = {
  name: 'opaque',
  match: (method, path) => (managedModel(method, path) === undefined ? FORWARD : DEPLOYING),
  read: (call, body, { seed }) => ({ whole: wholeKey(call, seed, digestOf(body)) }),
  *readChunks(call, body, { seed }) {
    return { whole: wholeKey(call, seed, yield* digestSteps(body.pieces())) }
  },
  address: (reply) => reply,
  fault: problem,
}

const FORWARD: Target = { verb: 'forward', prediction: false }
/** TorchServe's management, in front of which such a route may stand. */
const DEPLOYING: Target = { ...FORWARD, deploys: '' }

/** The body's bytes mean what its encoding says, so that counts as well. */
function wholeKey(call: Call, seed: Digest, body: Digest): Digest {
  return new Preimage()
    .latin1(seed)
    .text('opaque')
    .text(call.method)
    .text(call.path)
    .text(call.query)
    .text(header(call.headers, 'content-encoding') ?? '')
    .latin1(body)
    .digest()
}
