/**
 * Puts pieces together in memory that is used again, and writes them to a socket in one system call. Text that was put together
 * as a string would be copied into one piece of garbage at each write.
 */
import type { Writable } from 'node:stream'
import { Scratch } from './scratch.ts'

const SIZE = 24 * 1024

export class JoinedWrite {
  #memory = new Scratch(SIZE)
  #length = 0

  /** Begins anew; `size`: at least as many bytes as all pieces have. */
  begin(size: number): this {
    this.#memory.fit(size)
    this.#length = 0
    return this
  }

  /** A character is a byte. */
  text(text: string): this {
    this.#length += this.#memory.bytes.write(text, this.#length, 'latin1')
    return this
  }

  bytes(bytes: Uint8Array): this {
    this.#memory.bytes.set(bytes, this.#length)
    this.#length += bytes.length
    return this
  }

  /** As `write` of the socket, which must have no bytes waiting, and must need none of what it was given before. */
  to(socket: Pick<Writable, 'write' | 'writableLength'>): boolean {
    const hasRoom = socket.write(this.#memory.view(this.#length))
    // The socket still holds the memory, so it must not be overwritten.
    if (socket.writableLength > 0) this.#memory = new Scratch(SIZE)
    return hasRoom
  }
}

/** One for all sockets of a thread. */
export const joinedWrite = new JoinedWrite()
