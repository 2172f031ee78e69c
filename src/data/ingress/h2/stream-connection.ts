/** What a stream and its connection need of each other. */
import type { PeerCertificate } from '../../../core/peer-certificate.ts'
import type { Wheel } from '../../../lib/wheel.ts'

/** A stream as its connection sends for it. */
export interface Sender {
  readonly id: number
  readonly isRemoteOpen: boolean
  readonly isAnswered: boolean
  /** Bytes that the client lets us send, and that we let it send. */
  sendWindow: number
  receiveWindow: number
  /** Bytes that were taken, and by which the client was not told yet that the window grows. */
  untold: number
  /** The windows allow more, or the socket does. */
  flush(): void
}

/** The connection's part of the flow control. */
export interface StreamFlow {
  /** Sends as much as the connection's window and the socket allow; returns how much that was. */
  send(stream: Sender, bytes: Uint8Array, isLast: boolean): number
  /** The stream waits for the connection's window, or for the socket. */
  waits(stream: Sender): void
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
  /** The head is all of the request. */
  readonly isEnded: boolean
  readonly sendWindow: number
  readonly receiveWindow: number
}
