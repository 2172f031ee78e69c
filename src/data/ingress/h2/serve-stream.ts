/** Serves the request on a stream: by a fast path, where its head is known to be refused or may be a hit, or as a call. */
import type { Repeated } from '../../hits/fast-answer.ts'
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
  if (live !== ingress.live() || stream.head.expectsContinue) return serve()
  if (!decision?.key) {
    // Nobody waits for the body of a request that is refused by its head.
    if (!ingress.fastRefusal.answer(repeatedOf(stream, stream.length ?? 0), stream)) serve()
    return
  }
  stream.body.hold(MAX_HELD_BYTES, (pieces) => {
    if (stream.isClosed) return
    if (!pieces) return serve()
    const head = repeatedOf(
      stream,
      pieces.reduce((sum, piece) => sum + piece.length, 0),
    )
    if (!ingress.memoryHit.answer(head, pieces, stream) && !ingress.fastRefusal.answer(head, stream)) serve()
  })
}

function repeatedOf({ method, notes }: Http2Stream, length: number): Repeated {
  return { method, notes, length }
}
