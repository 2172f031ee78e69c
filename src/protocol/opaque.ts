/**
 * The dialect of opaque routes, for any HTTP: bodies are not parsed. If the route allows caching, the key is made of method,
 * raw target and body bytes.
 */
import { type Call, header, type Target } from '../core/call.ts'
import { type Digest, digestOf, digestSteps } from '../core/key.ts'
import { isDeployment, management } from './management.ts'
import { Preimage } from './preimage.ts'
import { problem } from './problem.ts'
import type { Protocol } from './protocol.ts'
import { managedModel } from './torchserve/target.ts'

export const opaque: Protocol = {
  name: 'opaque',
  match(method, path) {
    if (managedModel(method, path) !== undefined || isDeployment(method, path)) return DEPLOYING
    return management(method, path).manages ? MANAGING : FORWARD
  },
  read: (call, body, { seed }) => ({ whole: wholeKey(call, seed, digestOf(body)) }),
  *readChunks(call, body, { seed }) {
    return { whole: wholeKey(call, seed, yield* digestSteps(body.pieces())) }
  },
  address: (reply) => reply,
  passesUpgrades: true,
  fault: problem,
}

const FORWARD: Target = { verb: 'forward', prediction: false }
/** The management of TorchServe and of servers of language models, in front of which such a route may stand. */
const DEPLOYING: Target = { ...FORWARD, deploys: '', manages: true }
const MANAGING: Target = { ...FORWARD, manages: true }

/** The key covers Content-Encoding too, since the meaning of the body's bytes depends on it. */
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
