/**
 * Cancellation. `Signal` is the part of AbortSignal that the gateway uses; `Cancel` is a cheap implementation of it.
 * Every forwarded call makes two, and an AbortController takes several microseconds to make and to listen to.
 */

/**
 * The part of AbortSignal that is used. Each listener is called once; a listener that is added after the abort is not
 * called.
 */
export interface Signal {
  readonly aborted: boolean
  /** Set once it is aborted. */
  readonly reason: Error
  addEventListener(type: 'abort', listener: () => void, options?: { readonly once?: boolean }): void
  removeEventListener(type: 'abort', listener: () => void): void
}

/** A signal that its owner aborts. */
export class Cancel implements Signal {
  aborted = false
  reason!: Error
  /** The first listener: most signals have only one. */
  #listener: (() => void) | undefined
  #others: Set<() => void> | undefined

  /** A Cancel that is aborted when `signal` is, unless it was aborted before. */
  static following(signal: Signal): Cancel {
    const cancel = new Cancel()
    const follow = () => cancel.abort(signal.reason)
    if (signal.aborted) follow()
    else signal.addEventListener('abort', follow, { once: true })
    return cancel
  }

  /** Aborts once: later calls do not change the reason. */
  abort(reason: Error): void {
    if (this.aborted) return
    this.aborted = true
    this.reason = reason
    const listener = this.#listener
    this.#listener = undefined
    listener?.()
    // A listener may remove another one that was not called yet.
    for (const other of this.#others ?? []) other()
    this.#others = undefined
  }

  addEventListener(_type: 'abort', listener: () => void): void {
    if (this.aborted || this.#listener === listener) return
    if (!this.#listener && !this.#others?.size) this.#listener = listener
    else {
      this.#others ??= new Set()
      this.#others.add(listener)
    }
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    if (this.#listener === listener) this.#listener = undefined
    else this.#others?.delete(listener)
  }
}
