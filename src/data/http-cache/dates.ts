/** Parses HTTP-date in its three forms (RFC 9110, section 5.6.7), strictly. */

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
const TIME = '(?<h>\\d\\d):(?<m>\\d\\d):(?<s>\\d\\d)'
const DAY = '(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)'
const MONTH = `(?<month>${MONTHS.join('|')})`
const FORMS = [
  new RegExp(`^${DAY}, (?<day>\\d\\d) ${MONTH} (?<year>\\d{4}) ${TIME} GMT$`),
  // RFC 850.
  new RegExp(
    `^(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?<day>\\d\\d)-${MONTH}-(?<short>\\d\\d) ${TIME} GMT$`,
  ),
  // C's asctime().
  new RegExp(`^${DAY} ${MONTH} (?<day>[ \\d]\\d) ${TIME} (?<year>\\d{4})$`),
]

/** Wall milliseconds, or undefined. `wallNow`: a year of two digits is at most 50 years after it. */
export function parseDate(text: string, wallNow: number): number | undefined {
  const parts = FORMS.map((form) => form.exec(text)?.groups).find((groups) => groups !== undefined)
  if (!parts) return undefined
  const { day = '', month = '', year, short, h, m, s } = parts
  const full = year === undefined ? fullYear(Number(short), wallNow) : Number(year)
  const at = Date.UTC(full, MONTHS.indexOf(month), Number(day), Number(h), Number(m), Number(s))
  // Date.UTC would read the 30th of February as the 1st of March.
  return new Date(at).getUTCDate() === Number(day) ? at : undefined
}

function fullYear(short: number, wallNow: number): number {
  const present = new Date(wallNow).getUTCFullYear()
  const year = present - (present % 100) + short
  return year > present + 50 ? year - 100 : year
}
