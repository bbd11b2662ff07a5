// Polls one address of the API. An unchanged answer is a 304 and costs next to nothing.

const REQUEST_SECONDS = 10;

export class Feed {
  /**
   * @param {() => string} address of the next request; another address than before drops the ETag.
   * @param {number} seconds between two requests.
   * @param {{changed: (answer: object) => void, alive: (date: Date) => void, failed: (message: string) => void}} told
   */
  constructor(address, seconds, told) {
    this.address = address;
    this.seconds = seconds;
    this.told = told;
    this.asked = "";
    this.etag = null;
    this.timer = null;
    this.controller = null;
  }

  /** Ask now, and again and again; a request under way is given up. */
  restart() {
    this.stop();
    this.#ask();
  }

  stop() {
    clearTimeout(this.timer);
    this.controller?.abort();
    this.controller = null;
  }

  async #ask() {
    const controller = new AbortController();
    this.controller = controller;
    const address = this.address();
    if (address !== this.asked) {
      this.asked = address;
      this.etag = null;
    }
    const overdue = setTimeout(() => controller.abort(), REQUEST_SECONDS * 1000);
    try {
      await this.#take(await fetch(address, {
        cache: "no-store",
        headers: this.etag ? { "If-None-Match": this.etag } : {},
        signal: controller.signal,
      }), controller);
    } catch (error) {
      if (this.controller === controller) this.told.failed(error.message);
    } finally {
      clearTimeout(overdue);
      if (this.controller === controller) {
        this.timer = setTimeout(() => this.#ask(), this.seconds * 1000);
      }
    }
  }

  async #take(response, controller) {
    if (response.status === 304) {
      this.told.alive(serverTime(response));
      return;
    }
    const answer = await readJson(response);
    if (this.controller !== controller) return;
    if (!response.ok) throw new Error(answer?.error?.message ?? `answer ${response.status}`);
    if (!answer) throw new Error("an answer that is no JSON");
    this.etag = response.headers.get("ETag");
    this.told.alive(serverTime(response));
    this.told.changed(answer);
  }
}

/** The server's clock at the answer; a proxy may have taken it away. */
function serverTime(response) {
  const date = response.headers.get("Date");
  return date ? new Date(date) : new Date();
}

async function readJson(response) {
  try {
    return await response.json();
  } catch {
    return null;
  }
}
