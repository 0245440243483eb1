"""What customers write on WhatsApp and Telegram, taken into the queue; `channels` reads the webhooks."""
