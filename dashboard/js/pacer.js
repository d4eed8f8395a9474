// Joins are limited by the service to 20 in 5 s; the page stays below that by itself. Pure: time is passed in.

export class Pacer {
  /** At most `limit` grants within any `windowMs`. */
  constructor(limit = 16, windowMs = 5_000) {
    this.limit = limit;
    this.windowMs = windowMs;
    this.granted = [];
  }

  /** Milliseconds to wait before the next grant; 0 means granted now. */
  take(now) {
    this.granted = this.granted.filter((at) => now - at < this.windowMs);
    if (this.granted.length < this.limit) {
      this.granted.push(now);
      return 0;
    }
    return this.granted[0] + this.windowMs - now;
  }
}
