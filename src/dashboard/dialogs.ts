/** Dialogs, and the line that says how an act ended. */
import { el } from './dom.ts'

const SAID_MS = 6_000

/** Says something for a few seconds, to screen readers as well. */
export function say(text: string, kind: 'good' | 'bad' = 'good'): void {
  const place = document.getElementById('said')
  const line = el('p', { class: `said ${kind}`, text })
  place?.append(line)
  setTimeout(() => line.remove(), SAID_MS)
}

/** Asks before something that cannot be taken back. */
export function confirmed(question: string, yes: string): Promise<boolean> {
  const accept = el('button', { type: 'submit', value: 'yes', class: 'danger', text: yes })
  const cancel = el('button', { type: 'submit', value: 'no', text: 'Cancel' })
  return answered(question, [], [cancel, accept]).then((value) => value === 'yes')
}

/** Asks for a number; undefined: never mind. */
export async function askedNumber(
  question: string,
  { value, min, max }: { readonly value: number; readonly min: number; readonly max: number },
): Promise<number | undefined> {
  const input = el('input', {
    type: 'number',
    value,
    min,
    max,
    step: 'any',
    required: true,
    'aria-label': question,
  })
  const accept = el('button', { type: 'submit', value: 'yes', class: 'primary', text: 'Set' })
  const cancel = el('button', { type: 'submit', value: 'no', formnovalidate: true, text: 'Cancel' })
  // Enter submits with the first button there is.
  const answer = await answered(question, [input], [accept, cancel])
  return answer === 'yes' ? input.valueAsNumber : undefined
}

async function answered(
  question: string,
  fields: readonly HTMLElement[],
  buttons: readonly HTMLElement[],
): Promise<string> {
  const form = el('form', { method: 'dialog' }, el('h2', { text: question }), ...fields)
  form.append(el('div', { class: 'buttons' }, ...buttons))
  const dialog = el('dialog', {}, form)
  // A form that is submitted would be stopped by the page's own policy: the dialog is closed by hand.
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    dialog.close(event.submitter?.getAttribute('value') ?? '')
  })
  document.body.append(dialog)
  dialog.showModal()
  await new Promise((resolve) => dialog.addEventListener('close', resolve, { once: true }))
  dialog.remove()
  return dialog.returnValue
}

/** The dialog that asks for a token; it stays until there is one that is taken. */
export class TokenDialog {
  readonly #dialog: HTMLDialogElement
  readonly #why = el('p', { class: 'why', role: 'alert' })
  readonly #input = el('input', {
    type: 'password',
    id: 'token',
    autocomplete: 'off',
    spellcheck: 'false',
    required: true,
  })

  constructor(given: (token: string) => void) {
    const form = el(
      'form',
      { method: 'dialog' },
      el('h2', { text: 'Token' }),
      el('p', {
        text: 'This gateway shows its data to holders of a token with the scope “read”. It is kept in the memory of this page alone, until the page is closed or loaded again.',
      }),
      this.#why,
      el('label', { for: 'token', text: 'Token of the admin API' }),
      this.#input,
      el('div', { class: 'buttons' }, el('button', { type: 'submit', class: 'primary', text: 'Connect' })),
    )
    form.addEventListener('submit', (event) => {
      event.preventDefault()
      const token = this.#input.value.trim()
      this.#input.value = ''
      if (token !== '') given(token)
    })
    this.#dialog = el('dialog', { class: 'token', 'aria-label': 'Token' }, form)
    document.body.append(this.#dialog)
  }

  open(why: string): void {
    this.#why.textContent = why
    if (!this.#dialog.open) this.#dialog.showModal()
    this.#input.focus()
  }

  close(): void {
    if (this.#dialog.open) this.#dialog.close()
  }
}
