/** The body of one request at the node:http door. */
import type { IncomingMessage } from 'node:http'
import { GatewayError } from '../../core/errors.ts'
import type { Wheel } from '../../lib/wheel.ts'
import { RequestBody, type RequestSource } from './request-body.ts'

export class HttpBody extends RequestBody {
  readonly #request: IncomingMessage

  constructor(request: IncomingMessage, wheel: Wheel, timeoutMs: number) {
    const source: RequestSource = {
      start: () => {
        request.on('data', onData).on('end', onEnd).on('error', onBroken).on('close', onBroken)
      },
      stop: (isEarly) => {
        request.off('data', onData).off('end', onEnd).off('error', onBroken).off('close', onBroken)
        if (isEarly) request.pause()
      },
      pause: () => void request.pause(),
      resume: () => void request.resume(),
    }
    super(source, wheel, timeoutMs)
    this.#request = request
    const onData = (chunk: Buffer) => this.push(chunk)
    const onEnd = () => this.end()
    const onBroken = () =>
      this.breakOff(new GatewayError('callerLeft', 'the client left before its body was complete'))
  }

  /** Drops the rest of the body as it arrives; `onBytes` counts it. */
  drop(onBytes: (bytes: number) => void): void {
    this.discard()
    this.#request.on('data', (chunk: Buffer) => onBytes(chunk.length)).resume()
  }
}
