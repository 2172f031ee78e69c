/** A part of the dashboard that is shown alone. */
import type { GatewayConnection } from './connection.ts'
import type { Store } from './store.ts'

export interface View {
  readonly id: string
  readonly title: string
  readonly element: HTMLElement
  /** Called while it is shown, a few times a second at most. */
  render(store: Store): void
  /** Called when the colours of the page have changed. */
  recolor?(): void
  /** What a key that narrows the view gives the focus to. */
  readonly filter?: HTMLElement
}

/** What views act through. */
export interface Acting {
  readonly store: Store
  readonly connection: GatewayConnection
  /** Runs a write and says how it ended. */
  act(what: string, run: () => Promise<unknown>): Promise<void>
}
