/** What may be said of an embedding model beside its files; what is left out, the files say (`terms.ts`). */

export const POOLINGS = ['mean', 'cls'] as const

/** How the vectors of a text's tokens become one: their mean, or that of the first token. */
export type Pooling = (typeof POOLINGS)[number]

export interface EmbeddingOptions {
  readonly pooling?: Pooling
  /** Whether vectors are brought to length 1. */
  readonly normalize?: boolean
  /** The most tokens of a text, with those that the tokenizer puts around it. */
  readonly maxTokens?: number
  /** Whether longer texts are cut, and not refused. */
  readonly truncate?: boolean
  /** Shorter vectors that a caller may ask for, which are the first numbers of the whole ones. */
  readonly dimensions?: readonly number[]
}
