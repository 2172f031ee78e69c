/**
 * The beginning of a prompt as a chain of hashes: the hash of each block covers the blocks before it as well, so two prompts
 * have a hash in common exactly as far as they are equal. For placing calls, where a collision costs a little time.
 */
export interface PromptPrefix {
  /** Two lanes for each block, in order. */
  readonly lanes: Int32Array
  readonly blocks: number
}
