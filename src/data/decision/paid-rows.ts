/**
 * The rows that one call has paid for, over all pools that it is sent to: its tenant pays for the most that one pool was sent, and not
 * for each pool again.
 */
export class PaidRows {
  #paid = 0
  /** Of these, sent to the pool that has the call now. */
  #sent = 0

  /** How many of the rows that are to be sent now have not been paid for. */
  due(rows: number): number {
    return Math.max(0, this.#sent + rows - this.#paid)
  }

  sent(rows: number): void {
    this.#sent += rows
    this.#paid = Math.max(this.#paid, this.#sent)
  }

  /** The call goes to another pool. */
  again(): void {
    this.#sent = 0
  }
}
