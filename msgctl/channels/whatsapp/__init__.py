"""Channel `whatsapp`, through the Cloud API of Meta or through Twilio."""
