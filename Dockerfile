# The service in a container:
#   pip wheel . --no-deps --wheel-dir dist
#   docker build --tag wrinkle .
#   docker run --rm --publish 127.0.0.1:8000:8000 wrinkle
FROM python:3.13-slim
COPY dist/wrinkle-*.whl /tmp/
RUN pip install --no-cache-dir torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir "$(ls /tmp/wrinkle-*.whl)[serve,heic]"
USER 1000:1000
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health')"]
ENTRYPOINT ["wrinkle", "serve", "--host", "0.0.0.0"]
