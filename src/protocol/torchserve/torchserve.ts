/**
 * TorchServe's inference API. What a body means only the model's own code knows, and it sees every header field too, so
 * answers are kept as wholes, and only where somebody has written which fields count (`vary`).
 */
import { header } from '../../core/call.ts'
import type { FaultCode, GatewayError } from '../../core/errors.ts'
import type { Reply } from '../../core/reply.ts'
import { jsonReply } from '../json/reply.ts'
import type { Protocol } from '../protocol.ts'
import { type Verdict, verdictOfStatus } from '../verdict.ts'
import { readBody, readBodyChunks } from './request.ts'
import { inferenceTarget, torchserveTarget } from './target.ts'

export const torchserve: Protocol = {
  name: 'torchserve',
  readsContentType: true,
  needsVary: true,
  match: torchserveTarget,
  read: readBody,
  readChunks: readBodyChunks,
  address: (reply) => reply,
  // Only a generator's pieces come in chunks, and its caller wants each as it is made; everything else comes with its length.
  isStream: ({ headers }) => header(headers, 'transfer-encoding') !== undefined,
  storable: ({ headers }) => header(headers, 'content-length') !== undefined,
  habits: [
    'Pragma',
    'no-cache',
    'Cache-Control',
    'no-cache; no-store, must-revalidate, private',
    'Expires',
    'Thu, 01 Jan 1970 00:00:00 UTC',
  ],
  verdict: ({ status }) => OWN_MEANING[status] ?? verdictOfStatus(status),
  fault,
}

/** For `auto`: what is not unmistakably TorchServe's is left to others. */
export const torchserveByPath: Protocol = { ...torchserve, match: inferenceTarget }

/** What TorchServe means in another way than HTTP does. */
const OWN_MEANING: Readonly<Record<number, Verdict>> = {
  // A full job queue, no worker, and also code that failed on this input: another backend is asked once, not all of them.
  503: { kind: 'overloaded', retry: 'once', code: 'status 503' },
  // Out of memory; a 413 of the model's own code comes as one, too.
  507: { kind: 'failed', retry: 'once', code: 'status 507' },
}

const TYPES: Partial<Record<FaultCode, string>> = {
  badRequest: 'BadRequestException',
  badTarget: 'BadRequestException',
  unknownModel: 'ModelNotFoundException',
  unknownRoute: 'ResourceNotFoundException',
  requestTimeout: 'RequestTimeoutException',
  overloaded: 'ServiceUnavailableException',
  draining: 'ServiceUnavailableException',
  noBackend: 'ServiceUnavailableException',
}

/** As TorchServe writes its own, line by line. */
function fault({ fault: { status }, code, message }: GatewayError): Reply {
  const said = { code: status, type: TYPES[code] ?? 'InternalServerException', message }
  return jsonReply(status, Buffer.from(`${JSON.stringify(said, null, 2)}\n`))
}
