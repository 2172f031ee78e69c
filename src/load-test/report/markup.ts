/** HTML and SVG from templates in which every value is escaped, unless it was made by such a template itself. */

/** Text that is markup already. */
export class Markup {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

export type MarkupValue = Markup | string | number | readonly MarkupValue[]

export function markup(strings: TemplateStringsArray, ...values: readonly MarkupValue[]): Markup {
  return new Markup(strings.reduce((text, string, i) => text + string + textOf(values[i] ?? ''), ''))
}

function textOf(value: MarkupValue): string {
  if (value instanceof Markup) return value.text
  return typeof value === 'object' ? value.map(textOf).join('') : escaped(String(value))
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** For texts and for values of attributes in quotes. */
function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (char) => ESCAPES[char] ?? '')
}
