/**
 * Calling work off. A Signal is as much of an AbortSignal as we need; a Cancel is one that costs next to nothing to make
 * and to listen to, where an AbortController takes several microseconds: every call that is forwarded has two.
 */

/** What an AbortSignal is too. Listeners are called once, and not where it was aborted before. */
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
  /** Most have one listener. */
  #listener: (() => void) | undefined
  #others: Set<() => void> | undefined

  /** One that is aborted with another signal, if not before. */
  static following(signal: Signal): Cancel {
    const cancel = new Cancel()
    const follow = () => cancel.abort(signal.reason)
    if (signal.aborted) follow()
    else signal.addEventListener('abort', follow, { once: true })
    return cancel
  }

  /** The first reason stays. */
  abort(reason: Error): void {
    if (this.aborted) return
    this.aborted = true
    this.reason = reason
    const listener = this.#listener
    this.#listener = undefined
    listener?.()
    // One may take away another that was not called yet.
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
