/** Shortcuts of one key, and the overlay that lists them. */
import { el } from './dom.ts'

export interface Shortcut {
  readonly key: string
  readonly does: string
  run(): void
}

export class Shortcuts {
  readonly #list = new Map<string, Shortcut>()
  readonly #help: HTMLDialogElement

  constructor(shortcuts: readonly Shortcut[]) {
    const all = [...shortcuts, { key: '?', does: 'Show or close this help', run: () => this.toggleHelp() }]
    for (const shortcut of all) this.#list.set(shortcut.key, shortcut)
    const close = el('button', { type: 'button', text: 'Close', on: { click: () => this.#help.close() } })
    this.#help = el(
      'dialog',
      { class: 'help', 'aria-label': 'Keyboard shortcuts' },
      el('h2', { text: 'Keyboard' }),
      el(
        'dl',
        {},
        ...all.flatMap(({ key, does }) => [el('dt', {}, el('kbd', { text: key })), el('dd', { text: does })]),
        el('dt', {}, el('kbd', { text: 'Tab' })),
        el('dd', { text: 'Next control; Enter on the title of a column sorts by it' }),
        el('dt', {}, el('kbd', { text: 'Esc' })),
        el('dd', { text: 'Close a dialog' }),
      ),
      el('div', { class: 'buttons' }, close),
    )
    document.body.append(this.#help)
    document.addEventListener('keydown', (event) => this.#pressed(event))
  }

  toggleHelp(): void {
    if (this.#help.open) this.#help.close()
    else this.#help.showModal()
  }

  #pressed(event: KeyboardEvent): void {
    if (event.ctrlKey || event.altKey || event.metaKey) return
    const { target } = event
    if (target instanceof HTMLElement && /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName)) return
    const isElsewhere = document.querySelector('dialog[open]') !== null && !this.#help.open
    const shortcut = this.#list.get(event.key)
    if (!shortcut || isElsewhere || (this.#help.open && event.key !== '?')) return
    event.preventDefault()
    shortcut.run()
  }
}
