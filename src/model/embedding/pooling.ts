/** One vector of a text's tokens, and its length. */
import type { Pooling } from './options.ts'

export interface PoolingShape {
  readonly width: number
  /** Tokens of the text; what lies behind them is padding. */
  readonly length: number
  readonly pooling: Pooling
}

/** `hidden`: a vector of `width` numbers for each token. */
export function pooled(hidden: Float32Array, { width, length, pooling }: PoolingShape): Float32Array {
  if (pooling === 'cls') return hidden.slice(0, width)
  const vector = new Float32Array(width)
  for (let i = 0; i < width; i++) {
    let sum = 0
    for (let token = 0; token < length; token++) sum += hidden[token * width + i] as number
    vector[i] = sum / length
  }
  return vector
}

/** The same direction at length 1; a vector without one stays as it is. */
export function normalized(vector: Float32Array): Float32Array {
  const length = Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0))
  return length > 0 ? vector.map((x) => x / length) : vector
}
