/** Serves the request on a stream: from process memory, where its head is known to be a hit, or as a call. */
import { MAX_HELD_BYTES } from '../door/bounds.ts'
import type { Ingress } from '../ingress.ts'
import type { Http2Head } from './head.ts'
import type { Http2Stream } from './stream.ts'

/** `ownHead`: the head of this call, where that of the stream was read for another and differs in volatile fields. */
export function serveStream(stream: Http2Stream, ownHead: () => Http2Head, ingress: Ingress): void {
  const { decision, live } = stream.notes
  const serve = () => {
    stream.head = ownHead()
    ingress.serve(stream)
  }
  if (!decision?.key || live !== ingress.live() || stream.head.expectsContinue) return serve()
  stream.body.hold(MAX_HELD_BYTES, (pieces) => {
    if (stream.isClosed) return
    if (!pieces || !isHit(stream, pieces, ingress)) serve()
  })
}

function isHit(stream: Http2Stream, pieces: readonly Uint8Array[], { memoryHit }: Ingress): boolean {
  const { method, notes } = stream
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0)
  return memoryHit.answer({ method, notes, length }, pieces, stream) !== undefined
}
