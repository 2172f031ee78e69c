/**
 * Which further workers may bind the port: one word of shared memory for each. A worker takes its word before it binds, and the
 * drain withdraws it for good. One of the two is first, so a worker never binds after the drain, or the drain knows of it and
 * has it drained; messages between the threads leave a time in which a worker accepts connections and nobody knows.
 */
const FREE = 0
const TAKEN = 1
const WITHDRAWN = 2

export function allocateBindings(workers: number): Int32Array<SharedArrayBuffer> {
  return new Int32Array(new SharedArrayBuffer(workers * 4))
}

/** Called by a worker that is about to bind. False: the drain was first, and it must not. */
export function takeBinding(bindings: Int32Array, worker: number): boolean {
  return Atomics.compareExchange(bindings, worker, FREE, TAKEN) === FREE
}

/** Called by the drain. False: the worker was first, and accepts connections or soon will. */
export function withdrawBinding(bindings: Int32Array, worker: number): boolean {
  return Atomics.compareExchange(bindings, worker, FREE, WITHDRAWN) !== TAKEN
}

/** Called after a worker has ended: the next one may bind, unless the drain has begun. */
export function releaseBinding(bindings: Int32Array, worker: number): void {
  Atomics.compareExchange(bindings, worker, TAKEN, FREE)
}
