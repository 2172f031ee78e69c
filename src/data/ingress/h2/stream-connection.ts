/** What a stream and its connection need of each other. */
import type { RawPairs } from '../../../core/call.ts'
import type { PeerCertificate } from '../../../core/peer-certificate.ts'
import type { FlowStream, StreamFlow } from '../../../lib/http2/flow.ts'
import type { Wheel } from '../../../lib/wheel.ts'

/** A stream as its connection knows it. */
export interface Sender extends FlowStream {
  readonly isRemoteOpen: boolean
}

/** What a stream needs of its connection. */
export interface StreamConnection {
  readonly peer: string
  readonly certificate: PeerCertificate | undefined
  readonly wheel: Wheel
  readonly bodyTimeoutMs: number
  readonly flow: StreamFlow
  sendFields(stream: Sender, block: Buffer, isLast: boolean): void
  /** So many bytes of its body were taken, so the client may send more. */
  taken(stream: Sender, bytes: number): void
  /** Tells the client that the stream is over. */
  sendReset(stream: Sender, code: number): void
  /** Nothing more is sent or taken. */
  closed(stream: Sender): void
}

export interface StreamOptions {
  readonly connection: StreamConnection
  /** The head of this request as it came. */
  readonly fields: RawPairs
  /** Makes the id of a request that has none of its own. */
  readonly mintId: () => string
  /** The head is all of the request. */
  readonly isEnded: boolean
  readonly sendWindow: number
  readonly receiveWindow: number
}
