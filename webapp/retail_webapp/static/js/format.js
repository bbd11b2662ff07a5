// Numbers and times as text. Money comes as decimal text and stays text: no float touches what a table shows.

const integers = new Intl.NumberFormat("en");
const dayMonth = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
const fullDay = new Intl.DateTimeFormat("en-GB", {
  weekday: "short", day: "numeric", month: "short", year: "numeric", timeZone: "UTC",
});
const dayMonthYear = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeZone: "UTC" });
const monthYear = new Intl.DateTimeFormat("en-GB", { month: "short", year: "numeric", timeZone: "UTC" });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: "UTC" });
const moment = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" });

export const integer = (value) => integers.format(value);
export const money = (text) => text.replace(/\B(?=(\d{3})+\.)/g, ",");
/** A quantity, which may have decimals. */
export const quantity = (text) => text.replace(/\B(?=(\d{3})+(?!\d))(?<!\.\d*)/g, ",");
export const percent = (text) => `${text} %`;
export const day = (iso) => fullDay.format(new Date(iso));
export const shortDay = (iso) => dayMonth.format(new Date(iso));
export const month = (iso) => monthYear.format(new Date(iso));
export const mediumDay = (iso) => dayMonthYear.format(new Date(iso));
export const time = (iso) => clock.format(new Date(iso));
export const dateTime = (iso) => `${moment.format(new Date(iso))} UTC`;

/** Short money for the axis of a chart. */
export const axisMoney = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format;

/** Age in words: "12 s", "4 min", "3 h", "2 days". */
export function age(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} days`;
}

/** A moment before or after now in words: "4 min ago", "in 3 h". */
export function ago(iso, now) {
  const seconds = Math.round((now - Date.parse(iso)) / 1000);
  return seconds >= 0 ? `${age(seconds)} ago` : `in ${age(-seconds)}`;
}

/** How long something took: "0.8 s", "1 min 12 s", "2 h 5 min". */
export function duration(seconds) {
  if (seconds < 60) return `${Math.round(seconds * 10) / 10} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
